-- Incidents, their audit trail, and what makes each step happen exactly once.

create table processed_events (
    consumer     text        not null,
    event_id     uuid        not null,
    processed_at timestamptz not null default now(),
    primary key (consumer, event_id)
);
create index processed_events_age on processed_events (processed_at);

-- results of paid or outside work, so that a crash resumes after it
create table steps (
    consumer   text        not null,
    event_id   uuid        not null,
    name       text        not null,
    result     jsonb       not null,
    created_at timestamptz not null default now(),
    primary key (consumer, event_id, name)
);

create table outbox (
    id           bigint generated always as identity primary key,
    stage        text        not null,
    origin       text        not null, -- process that wrote the row; another one publishing it is a takeover
    topic        text        not null,
    key          text        not null,
    headers      jsonb       not null,
    payload      bytea       not null,
    created_at   timestamptz not null default now(),
    published_at timestamptz
);
create index outbox_waiting on outbox (stage, id) where published_at is null;
create index outbox_age on outbox (published_at) where published_at is not null;

create table timers (
    seq         bigint generated always as identity,
    stage       text        not null,
    id          uuid        not null,
    key         text        not null,
    name        text        not null,
    due         timestamptz not null,
    payload     jsonb       not null,
    state       text        not null default 'waiting' check (state in ('waiting', 'done', 'failed')),
    attempts    int         not null default 0, -- how often it rang
    failures    int         not null default 0, -- how often that ended in an error
    owner       text,
    lease_until timestamptz,
    last_error  text,
    created_at  timestamptz not null default now(),
    primary key (stage, id)
);
create index timers_waiting on timers (stage, key, name, seq) where state = 'waiting';
create index timers_due on timers (stage, due) where state = 'waiting';

-- what a grouping decision rests on: its version is checked at commit
create table neighbourhoods (
    scope   text   primary key,
    version bigint not null default 0
);

create table counters (
    name  text   primary key,
    value bigint not null
);

create table incidents (
    incident_id uuid        primary key,
    number      bigint      not null unique,
    environment text        not null,
    state       text        not null check (state in ('detecting', 'correlating', 'investigating', 'rca_complete',
                                                      'remediating', 'resolved', 'closed')),
    severity    text        not null,
    revision    int         not null,
    opened_at   timestamptz not null,
    resolved_at timestamptz,
    body        jsonb       not null,
    updated_at  timestamptz not null default now()
);
create index incidents_open on incidents (environment) where state not in ('resolved', 'closed');

create table signals (
    anomaly_id  uuid        primary key,
    environment text        not null,
    service     text        not null,
    metric      text        not null,
    revision    int         not null,
    status      text        not null check (status in ('suspect', 'firing', 'cleared')),
    incident_id uuid        references incidents,
    started_at  timestamptz not null,
    observed_at timestamptz not null,
    body        jsonb       not null
);
create index signals_live on signals (environment) where status <> 'cleared';
create index signals_incident on signals (incident_id) where incident_id is not null;

create table deployments (
    environment text        not null,
    service     text        not null,
    version     text        not null,
    at          timestamptz not null,
    body        jsonb       not null,
    primary key (environment, service, version, at)
);
create index deployments_recent on deployments (environment, at);

create table edges (
    environment text        not null,
    caller      text        not null,
    callee      text        not null,
    calls       bigint      not null,
    last_seen   timestamptz not null,
    primary key (environment, caller, callee)
);

create table audit (
    id          bigint generated always as identity primary key,
    incident_id uuid        not null,
    at          timestamptz not null,
    actor       text        not null,
    action      text        not null,
    summary     text        not null,
    detail      jsonb       not null,
    event_id    uuid        not null,
    ordinal     int         not null,
    recorded_at timestamptz not null default now(),
    unique (actor, event_id, ordinal)
);
create index audit_incident on audit (incident_id, at, id);

create table artifacts (
    incident_id uuid        not null,
    kind        text        not null,
    revision    int         not null,
    body        jsonb       not null,
    created_at  timestamptz not null default now(),
    primary key (incident_id, kind, revision)
);

create table notifications (
    id          uuid        primary key,
    incident_id uuid        not null,
    kind        text        not null,
    channel     text        not null,
    state       text        not null check (state in ('pending', 'sent', 'failed')),
    body        jsonb       not null,
    created_at  timestamptz not null
);
create index notifications_incident on notifications (incident_id);

create table notification_attempts (
    id              bigint generated always as identity primary key,
    notification_id uuid        not null references notifications,
    state           text        not null,
    outcome         text        not null,
    at              timestamptz not null
);
create index notification_attempts_of on notification_attempts (notification_id, id);
