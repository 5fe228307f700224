-- name: limit_lock_wait
-- Let no wait for a lock in this session last longer than this: a waiting statement holds back vacuum everywhere.
select set_config('lock_timeout', $1, false)

-- name: take_leadership
-- Wait for the lock of a role within this schema; held until the session ends.
select pg_advisory_lock(hashtextextended('hodei:leader:' || current_schema() || ':' || $1::text, 0))

-- name: still_here
-- Prove that the session, and with it the lock, is alive.
select true
