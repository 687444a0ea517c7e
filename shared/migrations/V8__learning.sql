-- what is learned from incidents of one's own: documents that people have approved, and whether causes were right
create table approved_documents (
    doc_id      text        primary key,
    incident_id uuid        not null,
    chunks      jsonb       not null,
    approved_by text        not null,
    approved_at timestamptz not null
);

create table feedback (
    id          bigint generated always as identity primary key,
    incident_id uuid        not null,
    cause       text        not null check (cause in ('right', 'wrong')),
    body        jsonb       not null,
    given_at    timestamptz not null
);
create index feedback_incident on feedback (incident_id, id);
