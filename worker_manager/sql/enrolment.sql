-- name: insert_join_token
-- Insert a join token. Returns it as JSON.
insert into join_tokens (id, name, user_key, type, labels, max_uses, created_by, expires_at)
values (:id, :name, :user_key, :type, :labels, :max_uses, :created_by, :expires_at)
returning join_token_json(join_tokens) as body;

-- name: take_join_token
-- Insert a join token that was made elsewhere, unless it is there. Returns its id then.
insert into join_tokens (id, name, user_key, type, labels, max_uses, expires_at)
values (:id, :name, :user_key, :type, :labels, :max_uses, :expires_at)
on conflict (id) do nothing
returning id::text;

-- name: get_join_token
-- One join token as JSON.
select join_token_json(join_tokens) as body from join_tokens where id = $1;

-- name: list_join_tokens
-- A page of join tokens, newest first.
select id::text, join_token_json(join_tokens) as body from join_tokens
where true
  and id < :before::uuid -- if given
  and name = :name::text -- if given
  and created_by->>'id' = :created_by_id::text -- if given
  and created_by->>'name' = :created_by_name::text -- if given
  and :state::text = case when revoked_at is not null then 'revoked' when expires_at <= now() then 'expired' when uses >= max_uses then 'used' else 'active' end -- if given
order by join_tokens.id desc limit :limit;

-- name: revoke_join_token
-- Revoke a join token, once. Returns its key and when it would expire.
update join_tokens set revoked_at = now() where id = $1 and revoked_at is null returning user_key, expires_at;

-- name: lock_join_token
-- A join token, held until the end of the transaction: its uses are counted one by one.
select id::text, name, type, labels, max_uses, uses, expires_at, revoked_at from join_tokens where id = $1 for update;

-- name: use_join_token
-- Count one more use of a join token.
update join_tokens set uses = uses + 1 where id = $1;

-- name: lock_enrolment
-- A worker that has enrolled, held until the end of the transaction.
select worker_id::text, user_key, join_token_id::text, revoked_at, type, labels from enrolments where worker_id = $1 for update;

-- name: lock_key
-- Let one transaction at a time decide who gets a key.
select pg_advisory_xact_lock(hashtextextended($1, 0));

-- name: find_key
-- What has a key, beside this worker; a revocation first.
select kind, revoked from (
    select 'key' as kind, true as revoked from revocations where user_key = $1 and (until is null or until > now())
    union all
    select 'worker', revoked_at is not null from enrolments where user_key = $1 and worker_id <> $2
    union all
    select 'join token', false from join_tokens where user_key = $1
    union all
    select 'credentials', false from credentials where user_key = $1
) as holders
order by revoked desc limit 1;

-- name: enrol_worker
-- Insert a worker that enrols, or renew one that enrols again. A worker that was revoked, or has another key, is not
-- changed: then no row is returned.
insert into enrolments (worker_id, user_key, name, join_token_id, type, labels, expires_at, renewable_until)
values (:worker_id, :user_key, :name, :join_token_id, :type, :labels, :expires_at, :renewable_until)
on conflict (worker_id) do update
set name = excluded.name, join_token_id = excluded.join_token_id, type = excluded.type, labels = excluded.labels,
    renewed_at = now(), expires_at = excluded.expires_at, renewable_until = excluded.renewable_until
where enrolments.user_key = excluded.user_key and enrolments.revoked_at is null
returning worker_id;

-- name: renew_enrolment
-- Note that a worker got new credentials.
update enrolments set renewed_at = now(), expires_at = :expires_at, renewable_until = :renewable_until
where worker_id = :worker_id;

-- name: revoke_enrolment
-- Revoke a worker's credentials, once. Returns its key and when they would expire. Those with which it could renew them
-- live longer, but allow nothing except the request, which is then refused.
update enrolments set revoked_at = now(), revoked_by = :revoked_by
where worker_id = :worker_id and revoked_at is null
returning user_key, name, expires_at;

-- name: get_enrolment
-- One worker's enrolment as JSON.
select enrolment_json(enrolments) as body from enrolments where worker_id = $1;

-- name: list_enrolments
-- A page of workers that enrolled, newest first.
select worker_id::text as id, enrolment_json(enrolments) as body from enrolments
where true
  and worker_id < :before::uuid -- if given
  and join_token_id = :join_token_id::uuid -- if given
  and :state::text = case when revoked_at is not null then 'revoked' when expires_at <= now() then 'expired' else 'active' end -- if given
order by enrolments.worker_id desc limit :limit;

-- name: insert_credentials
-- Insert read-only credentials. Returns them as JSON.
insert into credentials (id, name, user_key, subjects, created_by, expires_at)
values (:id, :name, :user_key, :subjects, :created_by, :expires_at)
returning credentials_json(credentials) as body;

-- name: get_credentials
-- Read-only credentials as JSON.
select credentials_json(credentials) as body from credentials where id = $1;

-- name: list_credentials
-- A page of read-only credentials, newest first.
select id::text, credentials_json(credentials) as body from credentials
where true
  and id < :before::uuid -- if given
  and name = :name::text -- if given
  and created_by->>'id' = :created_by_id::text -- if given
  and created_by->>'name' = :created_by_name::text -- if given
  and :state::text = case when revoked_at is not null then 'revoked' when expires_at <= now() then 'expired' else 'active' end -- if given
order by credentials.id desc limit :limit;

-- name: revoke_credentials
-- Revoke read-only credentials, once. Returns their key and when they would expire.
update credentials set revoked_at = now() where id = $1 and revoked_at is null returning user_key, expires_at;

-- name: insert_revocation
-- Have the servers of NATS refuse a key from now on.
insert into revocations (user_key, until) values (:user_key, :until)
on conflict (user_key) do update set revoked_at = now(), until = excluded.until;

-- name: lock_revocations
-- Let one process at a time push the revocations, so that an older list never replaces a newer one.
select pg_advisory_xact_lock(hashtext('hodei.revocations'));

-- name: list_revocations
-- The keys that the servers of NATS must refuse, for an hour longer than needed: their clock may differ.
select user_key from revocations where until is null or until > now() - interval '1 hour';

-- name: sign_account
-- Note that the account is signed. Returns the time to sign it with: now, or a second after the one before, whichever is
-- later.
insert into account_signings (signed_at) values (:now)
on conflict (single) do update
set signed_at = greatest(excluded.signed_at, account_signings.signed_at + interval '1 second')
returning signed_at;

-- name: purge_revocations
-- Delete a bounded number of revocations that nothing needs any more.
delete from revocations where user_key in (
    select user_key from revocations where until <= now() - interval '1 hour' limit $1 for update skip locked
);

-- name: purge_enrolments
-- Delete a bounded number of workers that cannot renew their credentials any more. Those that joined and were revoked
-- stay for a year, so that their ids cannot be used again.
delete from enrolments where worker_id in (
    select worker_id from enrolments
    where renewable_until <= now()
      and (revoked_at is null or join_token_id is null or revoked_at <= now() - interval '1 year')
    limit $1
    for update skip locked
);

-- name: purge_join_tokens
-- Delete a bounded number of join tokens that expired long ago.
delete from join_tokens where id in (
    select id from join_tokens where expires_at <= now() - interval '30 days' limit $1 for update skip locked
);

-- name: count_enrolments
-- How many workers have credentials, and how many of those expire within six hours: they should have been renewed.
select count(*)::int as workers, (count(*) filter (where expires_at <= now() + interval '6 hours'))::int as expiring
from enrolments where revoked_at is null and expires_at > now();
