-- The first answer to each Idempotency-Key, to be given again for a day. `status` is null while the first request
-- is still being worked on.
create table idempotency_keys (
    key text not null,
    route text not null,
    request_hash bytea not null,
    status integer,
    headers jsonb,
    body bytea,
    created_at timestamptz not null default now(),
    primary key (route, key)
);

create index idempotency_keys_created_at on idempotency_keys (created_at);
