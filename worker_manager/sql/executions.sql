-- name: request_execution
-- Insert an execution that was requested directly. No worker is chosen yet.
insert into executions as e (id, task_id, job_id, attempt, status, rank, request, created_by)
values (:id, :task_id, :job_id, 1, 'pending', 0, :request, :created_by)
returning execution_json(e) as body;

-- name: forget_execution
-- Delete a requested execution that was refused before its request got a response.
delete from executions where id = $1 and worker_id is null;

-- name: record_orders
-- Write orders, as JSON, that were or are being sent to their workers. A row that is further along is not changed.
insert into executions as e (:orders.columns, status, rank, sent_at)
select :orders.values, 'pending', 0, now()
from unnest(:orders.arrays) as new (:orders.columns)
order by new.id
on conflict (id) do update
set worker_id = excluded.worker_id, worker_name = excluded.worker_name, incarnation = excluded.incarnation,
    labels = excluded.labels, assignment = excluded.assignment, sent_at = excluded.sent_at, request = null
where e.rank = 0 and e.worker_id is null;

-- name: record_reports
-- Write a batch of reports, at most one per execution: status, times and outcome. A status never goes back. A report
-- counts only if its execution is placed on its worker, according to the batch or to the table.
insert into executions as e (:reports.columns)
select :reports.values
from unnest(:reports.arrays, :placed.arrays) as new (:reports.columns, :placed.columns)
where new.placed or (select known.worker_id from executions known where known.id = new.id) = new.worker_id
order by new.id
on conflict (id) do update
set worker_id = coalesce(e.worker_id, excluded.worker_id),
    worker_name = coalesce(e.worker_name, excluded.worker_name),
    incarnation = coalesce(e.incarnation, excluded.incarnation),
    labels = coalesce(e.labels, excluded.labels),
    status = case when excluded.rank > e.rank then excluded.status else e.status end,
    rank = greatest(e.rank, excluded.rank),
    reason = excluded.reason, detail = excluded.detail, exit_code = excluded.exit_code,
    log_chunks = excluded.log_chunks, log_truncated = excluded.log_truncated, outputs = excluded.outputs,
    -- The outcome has the exact start: one that was only seen in a heartbeat is later than the real one.
    started_at = coalesce(excluded.started_at, e.started_at),
    finished_at = coalesce(e.finished_at, excluded.finished_at),
    assignment = null, request = null
where e.rank < excluded.rank and (e.worker_id is null or e.worker_id = excluded.worker_id)
returning e.id::text, e.worker_id::text, e.status, extract(epoch from e.finished_at - e.started_at)::float8 as seconds;

-- name: get_workers
-- The workers that these executions are placed on, if they are placed.
select id::text, worker_id::text from executions where id = any($1::uuid[]);

-- name: close_unplaced
-- Close requested executions whose task left the queue before any worker was chosen.
update executions e
set :ends.changes, rank = 2, request = null
from unnest(:ends.arrays) as new (:ends.columns)
where e.task_id = new.task_id and e.attempt = new.attempt and e.rank = 0 and e.worker_id is null
returning e.status;

-- name: close_settled
-- Close requested executions that the orchestrator refused, or that had nothing to run: none of them wrote a log.
update executions e
set :ends.changes, rank = 2, log_chunks = 0, request = null
from unnest(:ends.arrays) as new (:ends.columns)
where e.id = new.id and e.rank = 0
returning e.status;

-- name: claim_unheard
-- Orders that were sent to these workers, in this incarnation, more than so many seconds ago and that they do not hold,
-- to be sent again. Marks them as sent, so that one of several replicas gets each.
update executions e set sent_at = now()
where e.id in (
    select p.id from executions p
    join unnest(:workers.arrays) as w (:workers.columns)
        on p.worker_id = w.worker_id and p.incarnation = w.incarnation
    where p.status = 'pending' and p.assignment is not null and p.sent_at < now() - make_interval(secs => :after)
      and p.id <> all (:held::uuid[])
    order by p.id limit :limit
    for update of p skip locked
)
returning e.worker_id::text, e.incarnation::text, e.assignment;

-- name: overdue_executions
-- A page of executions with one status that are older than an age in seconds, in the order of ids after a given id.
select id::text, task_id::text, job_id::text, attempt, status, worker_id::text, worker_name, incarnation::text, labels,
       request, created_by
from executions
where status = :status and id > :after::uuid and created_at < now() - make_interval(secs => :age)
order by executions.id
limit :limit;

-- name: recall_executions
-- The executions of these tasks.
select id::text, task_id::text, job_id::text, attempt, worker_id::text, worker_name, incarnation::text, labels,
       status, rank, reason, detail, exit_code, log_chunks, log_truncated, outputs, started_at, finished_at
from executions
where task_id = any($1::uuid[])
order by executions.id;

-- name: get_execution
-- One execution as JSON.
select execution_json(executions) as body from executions where id = $1;

-- name: get_execution_log
-- What a reader of an execution's log needs: its worker, whether the execution has ended, and how much it wrote.
select worker_id::text as worker_id, rank = 2 as over, log_chunks, log_truncated, finished_at from executions where id = $1;

-- name: list_executions
-- A page of executions, newest first.
select id::text, execution_json(executions) as body from executions
where true
  and id < :before::uuid -- if given
  and status = :status::text -- if given
  and worker_id = :worker_id::uuid -- if given
  and worker_name = :worker_name::text -- if given
  and job_id = :job_id::uuid -- if given
  and task_id = :task_id::uuid -- if given
  and reason = :reason::text -- if given
  and labels @> :labels::jsonb -- if given
  and created_by->>'id' = :created_by_id::text -- if given
  and created_by->>'name' = :created_by_name::text -- if given
  and created_at >= :created_after::timestamptz -- if given
  and created_at < :created_before::timestamptz -- if given
  and id < :below::uuid -- if given
  and :first_attempt::boolean and attempt = 1 -- if given
  and :no_exit_code::boolean and exit_code = 0 -- if given
  and attempt = :attempt::int and attempt > 1 -- if given
  and exit_code = :exit_code::int and exit_code > 0 -- if given
order by executions.id desc limit :limit;
