-- name: claim_idempotency_key
-- Claim a key for this request, also if it has expired. Returns no row if it is in use. Waits for a concurrent
-- request with the same key to end.
insert into idempotency_keys as used (route, key, request_hash)
values ($1, $2, $3)
on conflict (route, key) do update
set request_hash = excluded.request_hash, status = null, headers = null, body = null, packed_body = null,
    created_at = now()
where used.created_at < now() - $4::interval
returning true

-- name: find_idempotency_answer
-- The response to the first request with a key.
select request_hash, status, headers, body, packed_body from idempotency_keys where route = $1 and key = $2

-- name: store_idempotency_answer
-- Store the response, in the transaction of the request.
update idempotency_keys set status = $3, headers = $4, body = $5, packed_body = $6 where route = $1 and key = $2

-- name: use_idempotency_key
-- Claim a key, also if it has expired, and store the response, at the end. Waits for a concurrent request with the
-- same key to end.
with key_used as (
    insert into idempotency_keys as used (route, key, request_hash, status, headers, body, packed_body)
    values ($1, $2, $3, $5, $6, $7, $8)
    on conflict (route, key) do update
    set request_hash = excluded.request_hash, status = excluded.status, headers = excluded.headers,
        body = excluded.body, packed_body = excluded.packed_body, created_at = now()
    where used.created_at < now() - $4::interval
    returning true
)
select must(exists (select from key_used), 'the key is in use')

-- name: purge_idempotency_keys
-- Delete a bounded number of expired keys, except those that another process is deleting.
delete from idempotency_keys
where (route, key) in (
    select route, key from idempotency_keys
    where created_at < now() - $1::interval
    order by created_at
    limit $2
    for update skip locked
)


-- name: release_idempotency_key
-- Release a key whose request created nothing.
delete from idempotency_keys where route = $1 and key = $2

-- name: release_key_of_created
-- Release the key of a request whose created resource ($2, its Location) was refused later.
delete from idempotency_keys where route = $1 and headers->>'Location' = $2

-- name: replace_idempotency_answer
-- Replace the stored response of a request that created a resource ($2, its Location).
update idempotency_keys set body = null, packed_body = $3 where route = $1 and headers->>'Location' = $2
