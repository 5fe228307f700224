-- name: insert_worker
-- Write a worker that is about to be started, before its process exists; the worker as JSON.
insert into workers (id, type, name, status, provider, labels, slots, instance)
values ($1, $2, $3, 'starting', $4, $5, $6, $7)
returning worker_json(workers) as body;

-- name: set_worker_handle
-- Write how the process is found again after a restart of the service.
update workers set handle = $2, pid = $3 where id = $1;

-- name: confirm_worker
-- The worker's first heartbeat has come: it runs. A worker that is not `starting` any more stays as it is.
update workers set status = 'running', started_at = clock_timestamp()
where id = $1 and status = 'starting'
returning worker_json(workers) as body, type, name, provider, labels, slots;

-- name: ask_worker_to_stop
-- Write that the worker shall end; an order to drain never replaces one to stop at once.
update workers
set status = 'draining', intent = case when intent = 'force' then intent else $2 end
where id = $1 and status in ('starting', 'running', 'draining')
returning instance, handle;

-- name: close_worker
-- The worker's process is gone: write how it ended, once. The first caller gets whether the worker ever ran, every
-- later one no row.
update workers
set status = $2, exit_code = $3, detail = $4, stopped_at = now(), handle = null
where id = $1 and status in ('starting', 'running', 'draining')
returning started_at is not null as ran;

-- name: worker_intent
-- What was asked of a worker that has not been closed yet.
select intent from workers where id = $1 and status in ('starting', 'running', 'draining') for update;

-- name: workers_to_adopt
-- This instance's workers that a previous run of the service left behind.
select id::text, status, provider, handle, intent from workers
where instance = $1 and status in ('starting', 'running', 'draining');

-- name: get_worker
-- One worker as JSON.
select worker_json(workers) as body from workers where id = $1;

-- name: get_worker_state
-- One worker's id and status as JSON.
select json_build_object('id', id, 'status', status)::text as body from workers where id = $1;

-- name: list_workers
-- A page of workers, newest first.
select id::text, worker_json(workers) as body from workers
where true
  and id < $1::uuid -- if given
  and status = $2::text -- if given
  and type = $3::text -- if given
  and name = $4::text -- if given
  and provider = $5::text -- if given
  and labels @> $6::jsonb -- if given
order by workers.id desc limit $7;

-- name: count_workers
-- How many workers there are in each status that is not final.
select status, count(*)::int as workers from workers
where status in ('starting', 'running', 'draining') group by status;

-- name: forget_workers
-- Delete a bounded number of workers that stopped longer than $2 or failed longer than $3 seconds ago.
delete from workers
where id in (
    select id from workers
    where (status = 'stopped' and stopped_at <= now() - make_interval(secs => $2::float8))
       or (status = 'failed' and stopped_at <= now() - make_interval(secs => $3::float8))
    limit $4
    for update skip locked
)
returning id::text, name, provider, status = 'failed' as failed, instance = $1 as ours;
