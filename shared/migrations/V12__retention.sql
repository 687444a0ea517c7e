-- What is removed after its age, and whose data was erased: docs/retention.md.

-- An incident is gone for all readers at once; what belonged to it follows in batches, its signals too.
alter table signals drop constraint signals_incident_id_fkey;
create table removed_incidents (
    incident_id uuid        primary key,
    removed_at  timestamptz not null default now()
);

create index incidents_age on incidents (resolved_at) where state in ('resolved', 'closed');
create index signals_loose_age on signals (started_at) where incident_id is null;
create index steps_age on steps (created_at);
create index timers_age on timers (created_at) where state <> 'waiting';
-- the key of a timer begins with the incident that it is about
create index timers_of on timers (left(key, 36)) where state = 'waiting';
create index deployments_age on deployments (at);
create index audit_age on audit (recorded_at);

-- Erasures of what is stored of a person. The salt is there until one is finished, so that one that was interrupted goes on with
-- the same placeholder.
create table erasures (
    id          uuid        primary key,
    placeholder text        not null unique,
    salt        uuid,
    asked_by    text        not null,
    begun_at    timestamptz not null default now(),
    finished_at timestamptz,
    check ((salt is null) = (finished_at is not null))
);
