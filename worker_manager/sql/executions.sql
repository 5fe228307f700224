-- name: request_execution
-- Write an execution that was requested directly; no worker is chosen yet.
insert into executions as e (id, task_id, job_id, attempt, status, rank, request)
values ($1, $2, $3, 1, 'pending', 0, $4)
returning execution_json(e) as body;

-- name: forget_execution
-- Delete a requested execution that was refused before its request was answered.
delete from executions where id = $1 and worker_id is null;

-- name: record_orders
-- Write orders, as JSON, that were or are being sent to their workers. A row that is further along stays as it is.
insert into executions as e
    (id, task_id, job_id, worker_id, worker_name, incarnation, attempt, status, rank, assignment, sent_at, created_at)
select o.execution_id, o.task_id, o.job_id, o.worker_id, o.worker_name, o.incarnation, o.attempt, 'pending', 0,
       o.assignment, now(), o.scheduled_at
from given (execution_id uuid, task_id uuid, job_id uuid, worker_id uuid, incarnation uuid, attempt int,
            assignment text, scheduled_at timestamptz, worker_name text) as o
order by o.execution_id
on conflict (id) do update
set worker_id = excluded.worker_id, worker_name = excluded.worker_name, incarnation = excluded.incarnation,
    assignment = excluded.assignment, sent_at = excluded.sent_at, request = null
where e.rank = 0 and e.worker_id is null;

-- name: record_reports
-- Fold a batch of reports, at most one row per execution, into the table: status, times and outcome, ever forward.
insert into executions as e
    (id, task_id, job_id, worker_id, worker_name, incarnation, attempt, status, rank, reason, detail, exit_code,
     log_chunks, log_truncated, created_at, started_at, finished_at)
select r.execution_id, r.task_id, r.job_id, r.worker_id, r.worker_name, r.incarnation, r.attempt, r.status, r.rank,
       r.reason, r.detail, r.exit_code, r.log_chunks, r.log_truncated,
       coalesce(r.placed_at, r.started_at, r.finished_at), r.started_at, r.finished_at
from given (execution_id uuid, task_id uuid, job_id uuid, worker_id uuid, incarnation uuid, attempt int, status text,
            rank smallint, reason text, detail text, exit_code int, log_chunks int, log_truncated boolean,
            started_at timestamptz, finished_at timestamptz, placed_at timestamptz, worker_name text) as r
order by r.execution_id
on conflict (id) do update
set worker_id = coalesce(e.worker_id, excluded.worker_id),
    worker_name = coalesce(e.worker_name, excluded.worker_name),
    incarnation = coalesce(e.incarnation, excluded.incarnation),
    status = case when excluded.rank > e.rank then excluded.status else e.status end,
    rank = greatest(e.rank, excluded.rank),
    reason = excluded.reason, detail = excluded.detail, exit_code = excluded.exit_code,
    log_chunks = excluded.log_chunks, log_truncated = excluded.log_truncated,
    -- The outcome has the exact start: one that was only seen in a heartbeat is later than the real one.
    started_at = coalesce(excluded.started_at, e.started_at),
    finished_at = coalesce(e.finished_at, excluded.finished_at),
    assignment = null, request = null
where e.rank < excluded.rank
returning e.status, extract(epoch from e.finished_at - e.started_at)::float8 as seconds;

-- name: close_unplaced
-- Close requested executions whose task left the queue before any worker was chosen.
update executions e
set status = c.status, rank = 2, reason = c.reason, detail = c.detail, finished_at = c.finished_at, request = null
from given (task_id uuid, attempt int, status text, reason text, detail text, finished_at timestamptz) as c
where e.task_id = c.task_id and e.attempt = c.attempt and e.rank = 0 and e.worker_id is null
returning e.status;

-- name: close_settled
-- Close requested executions that the orchestrator refused, or that had nothing to run: none of them wrote a log.
update executions e
set status = c.status, rank = 2, reason = c.reason, detail = c.detail, finished_at = c.finished_at, log_chunks = 0,
    request = null
from given (execution_id uuid, status text, reason text, detail text, finished_at timestamptz) as c
where e.id = c.execution_id and e.rank = 0
returning e.status;

-- name: claim_unheard
-- Orders that were sent to these workers ($1, in incarnation $2) more than $5 seconds ago and that they do not name
-- ($3), to be sent again; at most $4. Marks them as sent, so that one of several replicas gets each.
update executions e set sent_at = now()
where e.id in (
    select p.id from executions p
    join unnest($1::uuid[], $2::uuid[]) as w (id, incarnation)
        on p.worker_id = w.id and p.incarnation = w.incarnation
    where p.status = 'pending' and p.assignment is not null and p.sent_at < now() - make_interval(secs => $5)
      and p.id <> all ($3::uuid[])
    order by p.id limit $4
    for update of p skip locked
)
returning e.worker_id::text, e.incarnation::text, e.assignment;

-- name: overdue_executions
-- A page of executions in one status, older than $3 seconds, from a place in the order of ids on.
select id::text, task_id::text, job_id::text, attempt, status, worker_id::text, worker_name, incarnation::text, request
from executions
where status = $1 and id > $2::uuid and created_at < now() - make_interval(secs => $3)
order by executions.id
limit $4;

-- name: recall_executions
-- The executions of these tasks.
select id::text, task_id::text, job_id::text, attempt, worker_id::text, worker_name, incarnation::text, status, rank,
       reason, detail, exit_code, log_chunks, log_truncated, started_at, finished_at
from executions
where task_id = any($1::uuid[])
order by executions.id;

-- name: get_execution
-- One execution as JSON.
select execution_json(executions) as body from executions where id = $1;

-- name: get_execution_log
-- What a reader of one execution's log needs: whether it is over, and how much was written.
select rank = 2 as over, log_chunks, log_truncated, finished_at from executions where id = $1;

-- name: list_executions
-- A page of executions, newest first.
select id::text, execution_json(executions) as body from executions
where true
  and id < $1::uuid -- if given
  and status = $2::text -- if given
  and worker_id = $3::uuid -- if given
  and worker_name = $4::text -- if given
  and job_id = $5::uuid -- if given
  and task_id = $6::uuid -- if given
  and reason = $7::text -- if given
  and created_at >= $8::timestamptz -- if given
  and created_at < $9::timestamptz -- if given
  and id < $10::uuid -- if given
  and $11::boolean and attempt = 1 -- if given
  and $12::boolean and exit_code = 0 -- if given
  and attempt = $13::int and attempt > 1 -- if given
  and exit_code = $14::int and exit_code > 0 -- if given
order by executions.id desc limit $15;
