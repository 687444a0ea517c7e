-- excerpts of what was looked at in an investigation, kept with the incident
create table evidence (
    id          uuid        primary key,
    incident_id uuid        not null,
    revision    int         not null, -- last investigation that has read it like this
    source      jsonb       not null,
    excerpt     text        not null,
    content     jsonb       not null,
    created_at  timestamptz not null default now()
);
create index evidence_incident on evidence (incident_id, revision);
