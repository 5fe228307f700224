-- Browser sessions and the keys that verify their bearers.

-- name: lock_token
-- Let one request at a time count a token's sessions.
select from tokens where id = $1::uuid for no key update

-- name: count_sessions
-- The number of sessions of a token that are open, or ended after a moment.
select count(*) from sessions
where token_id = $1::uuid and expires_at > $2 and (ended_at is null or ended_at > $3)

-- name: insert_session
-- Insert a new session.
insert into sessions (hash, id, token_id, created_at, expires_at) values ($1, $2::uuid, $3::uuid, $4, $5)

-- name: get_session
-- The open session of a cookie.
select id::text as id, token_id::text as token_id, expires_at from sessions
where hash = $1 and ended_at is null and expires_at > $2

-- name: end_session
-- End a session. Returns its token's id, or no row when it does not exist or is over.
update sessions set ended_at = $2 where id = $1::uuid and ended_at is null and expires_at > $2
returning token_id::text as token_id

-- name: ended_sessions
-- The sessions that ended after a moment.
select id::text as id, token_id::text as token_id from sessions where ended_at > $1

-- name: purge_sessions
-- Delete a bounded number of sessions that were over at a moment.
delete from sessions
where hash in (select hash from sessions where expires_at < $1 or ended_at < $1 limit $2 for update skip locked)

-- name: insert_session_key
-- Insert a public key, and delete those that have expired.
with expired as (delete from session_keys where expires_at < now())
insert into session_keys (id, public_key, expires_at) values ($1, $2, $3)

-- name: session_keys
-- The keys that have not expired.
select id, public_key, expires_at from session_keys where expires_at > now()
