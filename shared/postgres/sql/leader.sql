-- name: limit_lock_wait
-- Limit how long this session waits for a lock, because a waiting statement holds back vacuum everywhere.
select set_config('lock_timeout', $1, false)

-- name: take_leadership
-- Wait for the lock of a role within this schema. It is held until the session ends.
select pg_advisory_lock(hashtextextended('hodei:leader:' || current_schema() || ':' || $1::text, 0))

-- name: sign_of_life
-- Show that the session, and so the lock, is alive: the server records the time of a session's last statement.
select true

-- name: leader_sign
-- The session that holds the lock of a role within this schema, the time of its last statement, and whether that is
-- over $2 seconds ago by this server's clock.
select activity.pid, activity.backend_start, activity.state_change as sign,
       activity.state_change < clock_timestamp() - make_interval(secs => $2) as silent
from (select hashtextextended('hodei:leader:' || current_schema() || ':' || $1::text, 0) as key) wanted
join pg_locks held
    on held.locktype = 'advisory' and held.granted and held.objsubid = 1
    and held.classid::bigint = (wanted.key >> 32) & 4294967295 and held.objid::bigint = wanted.key & 4294967295
    and held.database = (select oid from pg_database where datname = current_database())
join pg_stat_activity activity on activity.pid = held.pid

-- name: end_session
-- End a session that has run no statement since then, which releases its locks.
select pg_terminate_backend(pid) from pg_stat_activity where pid = $1 and backend_start = $2 and state_change = $3
