-- Tokens of clients. The token itself is stored nowhere: it has 256 random bits, so that its hash needs no salt and cannot be guessed.
create table tokens (
    id           uuid        primary key,
    name         text        not null check (length(name) between 1 and 200),
    sha256       bytea       not null unique check (octet_length(sha256) = 32),
    scopes       text[]      not null check (cardinality(scopes) > 0),
    created_at   timestamptz not null default now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
-- a name says which token is meant, as long as it is valid
create unique index tokens_name on tokens (name) where revoked_at is null;
