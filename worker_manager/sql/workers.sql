-- name: insert_worker
-- Write a worker that is about to be started, before its process exists; the worker as JSON.
insert into workers (id, type, name, status, provider, labels, slots, instance)
values (:id, :type, :name, 'starting', :provider, :labels, :slots, :instance)
returning worker_json(workers) as body;

-- name: set_worker_handle
-- Write how the process is found again after a restart of the service.
update workers set handle = :handle, pid = :pid where id = :id;

-- name: confirm_worker
-- The worker's first heartbeat has come: it runs. A worker that is not `starting` any more stays as it is.
update workers set status = 'running', started_at = clock_timestamp()
where id = $1 and status = 'starting'
returning worker_json(workers) as body, type, name, provider, labels, slots;

-- name: ask_worker_to_stop
-- Write that the worker shall end; an order to drain never replaces one to stop at once.
update workers
set status = 'draining', intent = case when intent = 'force' then intent else :intent end
where id = :id and status in ('starting', 'running', 'draining')
returning instance, handle;

-- name: close_worker
-- The worker's process is gone: write how it ended, once. The first caller gets whether the worker ever ran, every
-- later one no row.
update workers
set status = :status, exit_code = :exit_code, detail = :detail, stopped_at = now(), handle = null
where id = :id and status in ('starting', 'running', 'draining')
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
  and id < :before::uuid -- if given
  and status = :status::text -- if given
  and type = :type::text -- if given
  and name = :name::text -- if given
  and provider = :provider::text -- if given
  and labels @> :labels::jsonb -- if given
order by workers.id desc limit :limit;

-- name: count_workers
-- How many workers there are in each status that is not final.
select status, count(*)::int as workers from workers
where status in ('starting', 'running', 'draining') group by status;

-- name: forget_workers
-- Delete a bounded number of workers that stopped, or failed, longer than so many seconds ago.
delete from workers
where id in (
    select id from workers
    where (status = 'stopped' and stopped_at <= now() - make_interval(secs => :stopped::float8))
       or (status = 'failed' and stopped_at <= now() - make_interval(secs => :failed::float8))
    limit :limit
    for update skip locked
)
returning id::text, name, provider, status = 'failed' as failed, instance = :instance as ours;
