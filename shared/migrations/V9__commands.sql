-- What people asked for, and what became of it.

create table commands (
    command_id  uuid        primary key,
    environment text        not null,
    incident_id uuid,
    verb        text        not null,
    asked_by    text        not null,
    origin      text        not null,
    asked_at    timestamptz not null,
    outcome     text        not null check (outcome in ('accepted', 'refused')),
    answer      text        not null,
    body        jsonb       not null,
    stage       text        not null,
    decided_at  timestamptz not null default now()
);
create index commands_incident on commands (incident_id, decided_at) where incident_id is not null;
create index commands_age on commands (decided_at);

-- Silences: notifications that match are not sent while one is active.
create table silences (
    silence_id  uuid        primary key,
    environment text        not null,
    spec        jsonb       not null,
    starts_at   timestamptz not null,
    ends_at     timestamptz not null,
    asked_by    text        not null,
    begun_at    timestamptz not null,
    ended_at    timestamptz,
    ended_by    text,
    end_reason  text,
    check ((ended_at is null) = (ended_by is null))
);
create index silences_active on silences (environment, ends_at) where ended_at is null;
create index silences_age on silences (begun_at, silence_id);

-- What a silence has hidden is a row like what was sent.
alter table notifications drop constraint notifications_state_check;
alter table notifications add constraint notifications_state_check
    check (state in ('pending', 'sent', 'failed', 'silenced'));
create index notifications_silenced on notifications ((body ->> 'silence_id')) where state = 'silenced';
