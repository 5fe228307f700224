-- name: limit_lock_wait
-- Let no wait for a lock in this session last longer than this: a waiting statement holds back vacuum everywhere.
select set_config('lock_timeout', $1, false)

-- name: take_leadership
-- Wait for the lock of a role within this schema; held until the session ends.
select pg_advisory_lock(hashtextextended('hodei:leader:' || current_schema() || ':' || $1::text, 0))

-- name: sign_of_life
-- Prove that the session, and with it the lock, is alive: the server notes when a session last asked for something.
select true

-- name: leader_sign
-- The session that holds the lock of a role within this schema, its last sign of life, and whether that is older than
-- $2 seconds by this server's clock.
select activity.pid, activity.backend_start, activity.state_change as sign,
       activity.state_change < clock_timestamp() - make_interval(secs => $2) as silent
from (select hashtextextended('hodei:leader:' || current_schema() || ':' || $1::text, 0) as key) wanted
join pg_locks held
    on held.locktype = 'advisory' and held.granted and held.objsubid = 1
    and held.classid::bigint = (wanted.key >> 32) & 4294967295 and held.objid::bigint = wanted.key & 4294967295
    and held.database = (select oid from pg_database where datname = current_database())
join pg_stat_activity activity on activity.pid = held.pid

-- name: end_session
-- End a session that has given no sign of life since; its locks are free with that.
select pg_terminate_backend(pid) from pg_stat_activity where pid = $1 and backend_start = $2 and state_change = $3
