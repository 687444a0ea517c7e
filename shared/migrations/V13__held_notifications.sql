-- Routes as the seeder has read them: one document, or none.
create table notification_routes (
    id   boolean primary key default true check (id),
    body jsonb   not null
);

-- What waits for a digest is a row like what was sent: held until a time, for one address; then summarized in another notification.
alter table notifications drop constraint notifications_state_check;
alter table notifications add constraint notifications_state_check
    check (state in ('pending', 'sent', 'failed', 'silenced', 'held', 'summarized'));
alter table notifications
    add column held_for   text,
    add column held_until timestamptz,
    add column written_at timestamptz not null default now(),
    add column recipients text[],
    add check (state not in ('held', 'summarized') or (held_for is not null and held_until is not null));
create index notifications_held on notifications (channel, held_for, held_until) where state = 'held';
-- How much each address was sent lately.
create index notifications_recent on notifications (written_at) where state in ('pending', 'sent');
