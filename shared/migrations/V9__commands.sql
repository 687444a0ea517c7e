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
