-- What was said in a transaction and is not yet acknowledged by the bus: one row per event type and transaction,
-- holding a CloudEvents batch ready to be sent. `relay` is the process that wrote it and will publish it first.
create table outbox (
    id bigint generated always as identity primary key,
    relay uuid not null,
    event_type text not null,
    events integer not null,
    traceparent text,
    payload bytea not null,
    created_at timestamptz not null default clock_timestamp()
);

-- Rows live for milliseconds: vacuum by number, not by share, so that the table stays a few pages long.
alter table outbox set (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 20000
);
alter table outbox alter column payload set storage external;
