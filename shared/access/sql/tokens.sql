-- The tokens that a service knows; the orchestrator's own queries are in its package.

-- name: known_tokens
-- The tokens that are to be known, in the order of their ids, after one of them. One that expired is known for another
-- month, if it is among the last ones that did, so that a request with it is told that it has expired, and does not count
-- as a guess.
select hash, id::text as id, name, role, expires_at from tokens
where revoked_at is null
    and id > $1::uuid
    and (
        expires_at is null
        or expires_at > greatest(now() - interval '30 days', (
            select expires_at from tokens
            where revoked_at is null and expires_at <= now()
            order by expires_at desc
            offset $3 limit 1
        ))
    )
order by id
limit $2

-- name: keep_token
-- Write a new token, unless it was revoked already.
insert into tokens (hash, id, name, role, expires_at) values ($1, $2::uuid, $3, $4, $5) on conflict do nothing

-- name: forget_token
-- Note that a token was revoked, also one that is not here yet: a list or an event that is older, of this process or of
-- another replica, then does not bring it back.
insert into tokens (hash, id, name, role, revoked_at) values ($1, $2::uuid, $3, '', now())
on conflict (hash) do update set revoked_at = excluded.revoked_at where tokens.revoked_at is null

-- name: keep_tokens
-- Make the table hold exactly these tokens, apart from those that were revoked. The latter stay for an hour, by when no
-- older list is under way. Unchanged rows are not written.
with
    given as (
        select * from unnest($1::bytea[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[])
            as given (hash, id, name, role, expires_at)
    ),
    gone as (
        delete from tokens
        where not exists (select from given where given.hash = tokens.hash)
            and (revoked_at is null or revoked_at < now() - interval '1 hour')
    )
insert into tokens (hash, id, name, role, expires_at)
select hash, id, name, role, expires_at from given order by hash
on conflict (hash) do update
set name = excluded.name, role = excluded.role, expires_at = excluded.expires_at
where tokens.revoked_at is null
    and (tokens.name, tokens.role, tokens.expires_at) is distinct from (excluded.name, excluded.role, excluded.expires_at)

-- name: note_use
-- Note when tokens were last used, to the minute.
update tokens set last_used_at = date_trunc('minute', used.at)
from unnest($1::uuid[], $2::timestamptz[]) as used (id, at)
where tokens.id = used.id
    and (tokens.last_used_at is null or tokens.last_used_at < date_trunc('minute', used.at))
