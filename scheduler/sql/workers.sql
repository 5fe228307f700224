-- The workers that the scheduler knows.

-- name: load_workers
-- All workers with an agent: a part of a new leader's memory.
select id::text, type, name, status, reason, labels, capacity, slots, prefetch, incarnation::text, since, last_heartbeat,
       drained, durable, reserved_for::text
from workers
where has_agent;

-- name: write_workers
-- Write the leader's view of workers with an agent. A `fresh` worker's row is inserted; a row that REST has deleted
-- stays deleted. A drain that REST has ordered or lifted, and that the leader does not know yet, keeps the status that
-- it set, except for a worker that comes online or goes offline.
with known as (
    select id from workers where id = any(:workers.id) for key share
), seen as (
    insert into workers as w (:workers.columns, has_agent, registered_at)
    select :workers.values, true, since
    from unnest(:workers.arrays, :news.arrays) as new (:workers.columns, :news.columns)
    where new.fresh or new.id in (select id from known)
    on conflict (id) do update
    set type = excluded.type, name = excluded.name, reason = excluded.reason,
        status = case
            when w.drained = excluded.drained or excluded.status = 'offline' then excluded.status
            when w.drained then 'draining'
            when w.status = 'offline' then 'online'
            else w.status
        end,
        labels = excluded.labels, capacity = excluded.capacity, slots = excluded.slots, prefetch = excluded.prefetch,
        has_agent = true, incarnation = excluded.incarnation, since = excluded.since, durable = excluded.durable,
        reserved_for = excluded.reserved_for,
        last_heartbeat = greatest(excluded.last_heartbeat, w.last_heartbeat)
)
select true as seen;

-- name: write_heartbeats
-- Write the last heartbeats and the offers of many workers.
with beaten as (
    update workers w
    set :heard.changes
    from unnest(:heard.arrays) as new (:heard.columns)
    where w.id = new.id
)
select true as beaten;

-- name: known_otherwise
-- Workers whose drain was ordered or lifted without the leader's knowledge, and workers that were deleted (null): their
-- event was lost, or has not arrived yet.
select new.id::text, w.drained
from unnest(:believed.arrays) as new (:believed.columns)
left join workers w on w.id = new.id
where w.drained is distinct from new.drained;

-- name: insert_worker
-- Insert a worker without an agent, registered over REST.
insert into workers (id, type, name, status, labels, capacity, slots, prefetch, has_agent, since, registered_at,
                     last_heartbeat)
values ($1, $2, $3, 'online', $4, $5, 0, 0, false, now(), now(), now());

-- name: beat_worker
-- Write a heartbeat over REST. It changes status and labels only of a worker without an agent. Returns the worker, and
-- whether it was offline.
update workers w
set last_heartbeat = now(),
    status = case
        when w.has_agent or w.status <> 'offline' then w.status
        when w.drained then 'draining' else 'online'
    end,
    labels = case when not w.has_agent and $2::jsonb is not null then $2 else w.labels end
from (select id, status from workers where id = $1 for update) old
where w.id = old.id
returning w.type, w.name, w.labels, w.drained, not w.has_agent and old.status = 'offline' as revived;

-- name: drain_worker
-- Drain a worker until it is resumed.
update workers set drained = true, drained_by = $2, status = 'draining', reason = null where id = $1;

-- name: resume_worker
-- Resume a drained worker. Its agent accepts work again when it receives the order, a moment later.
update workers
set drained = false, drained_by = null, status = case when status = 'draining' then 'online' else status end
where id = $1;

-- name: forget_workers
-- Delete workers that the leader no longer knows.
with forgotten as (
    delete from workers where id = any($1::uuid[]) and status = 'offline'
)
select true as forgotten;

-- name: forget_silent
-- Delete a bounded number of workers without an agent that were offline for over $1 seconds. Returns their ids.
delete from workers
where id in (
    select id from workers
    where not has_agent and status = 'offline' and last_heartbeat <= now() - make_interval(secs => $1)
    limit 500
)
returning id::text, name;

-- name: lock_worker
-- Lock a worker that is about to be deleted. Returns how many executions are placed on it.
select w.status, w.drained, w.has_agent, w.incarnation::text,
       (select count(*) from tasks t where t.status = 'placed' and t.worker_id = w.id) as busy
from workers w
where w.id = $1
for update of w;

-- name: delete_worker
-- Delete a worker.
delete from workers where id = $1;

-- name: existing_workers
-- Which of these workers have a row.
select id::text from workers where id = any($1::uuid[]);

-- name: expire_silent
-- Set workers without an agent offline whose lease ($1 seconds) has ended. Returns them.
update workers
set status = 'offline'
where not has_agent and status <> 'offline' and last_heartbeat <= now() - make_interval(secs => $1)
returning id::text;

-- name: next_silence
-- Seconds until the next of these leases ($1 seconds) ends.
select extract(epoch from min(last_heartbeat) + make_interval(secs => $1) - now())::float8
from workers
where not has_agent and status <> 'offline';

-- name: list_workers
-- A page of workers, newest first, as JSON.
select json_build_object(
           'id', w.id, 'type', w.type, 'name', w.name, 'status', w.status, 'reason', w.reason,
           'labels', w.labels, 'capacity', w.capacity, 'slots', w.slots,
           'busy', (select count(*) from tasks t where t.status = 'placed' and t.worker_id = w.id),
           'has_agent', w.has_agent, 'drained', w.drained, 'drained_by', w.drained_by, 'reserved_for', w.reserved_for,
           'registered_at', rfc3339(w.registered_at),
           'last_heartbeat', rfc3339(w.last_heartbeat))::text as body,
       w.id::text
from workers w
where true
  and w.id < :before::uuid -- if given
  and w.status = :status::text -- if given
  and w.type = :type::text -- if given
  and w.name = :name::text -- if given
  and w.name ~>=~ :name_from::text -- if given
  and w.name ~<~ :name_to::text -- if given
  and w.has_agent = :has_agent::boolean -- if given
  and w.drained = :drained::boolean -- if given
  and w.drained_by->>'id' = :drained_by_id::text -- if given
  and w.drained_by->>'name' = :drained_by_name::text -- if given
  and w.labels @> :labels::jsonb -- if given
  and w.reserved_for = :reserved_for::uuid -- if given
order by w.id desc
limit :limit;

-- name: get_worker
-- One worker as JSON.
select json_build_object(
           'id', w.id, 'type', w.type, 'name', w.name, 'status', w.status, 'reason', w.reason,
           'labels', w.labels, 'capacity', w.capacity, 'slots', w.slots,
           'busy', (select count(*) from tasks t where t.status = 'placed' and t.worker_id = w.id),
           'has_agent', w.has_agent, 'drained', w.drained, 'drained_by', w.drained_by, 'reserved_for', w.reserved_for,
           'registered_at', rfc3339(w.registered_at),
           'last_heartbeat', rfc3339(w.last_heartbeat))::text
from workers w
where w.id = $1;

-- name: workers_to_explain
-- All workers that are not offline, with their load, its resources and the task of their reservation, oldest first.
select w.id::text, w.type, w.name, w.status, w.reason, w.labels, w.capacity, w.slots, w.prefetch, w.has_agent,
       w.since, w.incarnation::text, w.drained, w.durable, coalesce(t.busy, 0) as busy, coalesce(t.cpu_m, 0) as cpu_m,
       coalesce(t.memory_mb, 0) as memory_mb, coalesce(t.gpu, 0) as gpu,
       r.task_id::text as reserved_for, r.priority as reserved_priority, r.ready_at as reserved_ready_at,
       r.resources as reserved_resources
from workers w
left join (
    select worker_id, count(*) as busy, sum((resources->>'cpu_m')::bigint)::bigint as cpu_m,
           sum((resources->>'memory_mb')::bigint)::bigint as memory_mb, sum((resources->>'gpu')::bigint)::bigint as gpu
    from tasks
    where status = 'placed'
    group by worker_id
) t on t.worker_id = w.id
left join tasks r on r.task_id = w.reserved_for and r.status = 'waiting'
where w.status <> 'offline'
order by w.id;

-- name: count_offline
-- How many workers are offline.
select count(*) from workers where status = 'offline';
