-- Knowledge: chunks of documents with their vectors, and the service catalogue.

-- one row: the length of all vectors, and a version that every change of a chunk counts up
create table knowledge_index (
    single     boolean primary key default true check (single),
    dimensions int     not null check (dimensions > 0),
    version    bigint  not null default 0
);

create table knowledge_chunks (
    id      uuid   primary key,
    doc_id  text   not null,
    ordinal int    not null,
    hash    text   not null,
    chunk   jsonb  not null,
    vector  real[] not null,
    unique (doc_id, ordinal)
);

create table catalogue_services (
    name text  primary key,
    body jsonb not null
);
