-- the service graph: far ends that only their callers name, when an edge was first seen, and figures of its calls
alter table edges
    add column far_end boolean not null default false,
    add column first_seen timestamptz; -- null where an earlier release has written the edge
create index edges_age on edges (last_seen);

-- figures by the minute, added up over all replicas
create table edge_minutes (
    environment     text             not null,
    caller          text             not null,
    callee          text             not null,
    minute          timestamptz      not null,
    calls           bigint           not null,
    failed          bigint           not null,
    latency_ms      double precision not null,
    latency_buckets bigint[]         not null,
    self_calls      bigint           not null,
    self_ms         double precision not null,
    primary key (environment, caller, callee, minute),
    foreign key (environment, caller, callee) references edges on delete cascade
);
create index edge_minutes_age on edge_minutes (minute);

-- services that have sent spans: a far end of one of these names is a service
create table span_services (
    environment text        not null,
    service     text        not null,
    last_seen   timestamptz not null,
    primary key (environment, service)
);
create index span_services_age on span_services (last_seen);
