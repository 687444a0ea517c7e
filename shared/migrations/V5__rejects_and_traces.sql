-- an outbox row that cannot be read is set aside with the reason, so that those behind it are published
alter table outbox add column rejected_at timestamptz, add column error text;
drop index outbox_waiting;
create index outbox_waiting on outbox (stage, id) where published_at is null and rejected_at is null;
create index outbox_rejected on outbox (rejected_at) where rejected_at is not null;

-- what a timer decides belongs to the trace of what set it
alter table timers add column traceparent text;
