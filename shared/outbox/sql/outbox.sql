-- name: insert_outbox
-- Insert rows in the given order, the first one with the entry of the call in the audit log. Returns their ids in that
-- order.
with outbox_rows as (
    insert into outbox (relay, event_type, events, traceparent, payload, audit)
    select $1::uuid, event_type, events, traceparent, payload, case when position = 1 then $6::text::json end
    from unnest($2::text[], $3::integer[], $4::text[], $5::bytea[]) with ordinality
        as row (event_type, events, traceparent, payload, position)
    order by position
    returning id
)
select array(select id from outbox_rows order by id) as outbox_ids

-- name: delete_outbox
-- Delete acknowledged rows. Not waiting for the disk is safe: a row that reappears is published again, idempotently.
with quick as (select set_config('synchronous_commit', 'off', true) as done)
delete from outbox using quick where quick.done is not null and id = any($1::bigint[])

-- name: allow_idle_page
-- Allow this transaction to be idle for as long as publishing its rows may take.
select set_config('idle_in_transaction_session_timeout', '10s', true)

-- name: lock_outbox_page
-- Lock a page of rows, after one id, that a relay has written or that have waited too long, without the rows that it
-- holds.
with page as (
    select id
    from outbox
    where id > :after
      and (relay = :relay::uuid or created_at < clock_timestamp() - :leftover_age::float8 * interval '1 second')
      and id <> all(:in_hand::bigint[])
    order by id
    limit :rows
    for update skip locked
)
select id, relay::text, event_type, events, traceparent, payload
from (
    select outbox.*, sum(octet_length(payload)) over (order by id) - octet_length(payload) as bytes_before
    from page join outbox using (id)
) as sized
where bytes_before < :bytes
order by id

-- name: measure_outbox
-- How many rows wait (counted up to a bound), and the age of the oldest in seconds.
select
    (select count(*) from (select from outbox limit $1) as counted) as pending,
    coalesce(extract(epoch from clock_timestamp() - (select created_at from outbox order by id limit 1)), 0)::float8
        as oldest

-- name: give_outbox_back
-- Give the space of the empty outbox back if it takes more than so many bytes.
select case when pg_total_relation_size('outbox') > $1 then give_outbox_back() else false end
