-- name: insert_worker
-- Insert a worker that is about to be started, before its process exists. Returns it as JSON.
insert into workers (id, type, name, status, provider, labels, slots, instance, created_by)
values (:id, :type, :name, 'starting', :provider, :labels, :slots, :instance, :created_by)
returning worker_json(workers) as body;

-- name: set_worker_handle
-- Write the handle with which the process is found after a restart of the service.
update workers set handle = :handle, pid = :pid where id = :id;

-- name: confirm_worker
-- Set a worker to running at its first heartbeat. A worker that is no longer `starting` is not changed.
update workers set status = 'running', started_at = clock_timestamp()
where id = $1 and status = 'starting'
returning worker_json(workers) as body, type, name, provider, labels, slots, created_by;

-- name: ask_worker_to_stop
-- Record that a worker is to stop, and who requested it. A drain never replaces an order to stop at once.
update workers
set status = 'draining',
    stop_requested_by = case when intent = 'force' or intent = :intent then stop_requested_by else :by end,
    intent = case when intent = 'force' then intent else :intent end
where id = :id and status in ('starting', 'running', 'draining')
returning instance, handle;

-- name: close_worker
-- Write, once, how a worker's process ended. The first caller gets whether the worker ever ran, every
-- later one no row.
update workers
set status = :status, exit_code = :exit_code, detail = :detail, stopped_at = now(), handle = null
where id = :id and status in ('starting', 'running', 'draining')
returning started_at is not null as ran, stop_requested_by;

-- name: worker_intent
-- The requested stop of a worker that has not ended yet.
select intent from workers where id = $1 and status in ('starting', 'running', 'draining') for update;

-- name: workers_to_adopt
-- The workers of this instance that an earlier run of the service started and left running.
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
  and name ~>=~ :name_from::text -- if given
  and name ~<~ :name_to::text -- if given
  and provider = :provider::text -- if given
  and created_by->>'id' = :created_by_id::text -- if given
  and created_by->>'name' = :created_by_name::text -- if given
  and labels @> :labels::jsonb -- if given
order by workers.id desc limit :limit;

-- name: count_workers
-- The number of workers in each status that is not final.
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
