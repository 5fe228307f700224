-- The orchestrator's own queries on the table of tokens; shared/access has those of every service.

-- name: insert_token
-- Insert a new token.
insert into tokens (hash, id, name, role, created_at, created_by, expires_at)
values ($1, $2::uuid, $3, $4, $5, $6, $7)

-- name: import_token
-- Insert a token of the set-up, unless its id or its hash is known. Returns whether it was new.
insert into tokens (hash, id, name, role, created_at) values ($1, $2::uuid, $3, $4, $5)
on conflict do nothing
returning true

-- name: count_tokens_in_force
-- The number of tokens that are to be accepted.
select count(*) from tokens where revoked_at is null and (expires_at is null or expires_at > now())

-- name: get_token
-- One token.
select id::text as id, name, role, created_at, created_by, expires_at, revoked_at, last_used_at from tokens
where id = $1::uuid

-- name: list_tokens
-- A page of tokens, newest first.
select id::text as id, name, role, created_at, created_by, expires_at, revoked_at, last_used_at from tokens
where true
    and id < :before::uuid -- if given
    and name = :name::text -- if given
    and role = :role::text -- if given
    and :active::boolean and revoked_at is null and (expires_at is null or expires_at > now()) -- if given
    and :expired::boolean and revoked_at is null and expires_at <= now() -- if given
    and :revoked::boolean and revoked_at is not null -- if given
order by id desc
limit :limit

-- name: lock_admin_tokens
-- Lock the tokens of admins that are to be accepted, so that of two revocations one sees the other. Returns for each
-- whether it is valid until it is revoked.
select id::text as id, expires_at is null as lasting from tokens
where role = 'admin' and revoked_at is null and (expires_at is null or expires_at > now())
order by id
for update

-- name: revoke_token
-- Revoke a token. Returns no row when it does not exist or is revoked already.
update tokens set revoked_at = $2, revoked_by = $3 where id = $1::uuid and revoked_at is null
returning hash, name

-- name: purge_tokens
-- Delete a bounded number of tokens that were revoked, or expired, long ago. Those of the set-up (the ones that no token
-- created) stay: their file is read at each start, and one that is unknown here would be inserted anew.
delete from tokens
where hash in (
    select hash from tokens
    where (revoked_at < $1 or expires_at < $1) and created_by is not null
    order by id
    limit $2
    for update skip locked
)
