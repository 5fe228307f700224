-- name: claim_idempotency_key
-- Take a key for this request, or take over one that has expired; no row when it is in use. Waits for a concurrent
-- request with the same key to end.
insert into idempotency_keys as used (route, key, request_hash)
values ($1, $2, $3)
on conflict (route, key) do update
set request_hash = excluded.request_hash, status = null, headers = null, body = null, created_at = now()
where used.created_at < now() - $4::interval
returning true

-- name: find_idempotency_answer
-- What was answered to the request that used a key first.
select request_hash, status, headers, body from idempotency_keys where route = $1 and key = $2

-- name: store_idempotency_answer
-- Keep the answer, in the transaction that did what it tells.
update idempotency_keys set status = $3, headers = $4, body = $5 where route = $1 and key = $2

-- name: use_idempotency_key
-- Take a key, or one that has expired, and keep the answer, all at the end. Waits for a concurrent request with the
-- same key to end.
with key_used as (
    insert into idempotency_keys as used (route, key, request_hash, status, headers, body)
    values ($1, $2, $3, $5, $6, $7)
    on conflict (route, key) do update
    set request_hash = excluded.request_hash, status = excluded.status, headers = excluded.headers,
        body = excluded.body, created_at = now()
    where used.created_at < now() - $4::interval
    returning true
)
select must(exists (select from key_used), 'the key is in use')

-- name: purge_idempotency_keys
-- Forget a bounded number of expired keys, beside those that another process is forgetting.
delete from idempotency_keys
where (route, key) in (
    select route, key from idempotency_keys
    where created_at < now() - $1::interval
    order by created_at
    limit $2
    for update skip locked
)


-- name: release_idempotency_key
-- Let a key be used again whose request came to nothing.
delete from idempotency_keys where route = $1 and key = $2

-- name: release_key_of_created
-- Let the key be used again of a request that created something ($2, its Location) which came to nothing.
delete from idempotency_keys where route = $1 and headers->>'Location' = $2

-- name: replace_idempotency_answer
-- Replace the kept answer of a request that created something ($2, its Location).
update idempotency_keys set body = $3 where route = $1 and headers->>'Location' = $2
