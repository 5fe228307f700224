-- name: lock_jobs
-- Lock jobs in the order of their ids, and read their fields that change. The tasks are read after it, so that they
-- include the changes of the transaction that held the lock before.
select
    id::text as id, version, name, status, reason, detail, stopping, pipeline_id::text as pipeline_id,
    schedule_id::text as schedule_id, priority, priority_changes, params, created_at, started_at, finished_at, deadline,
    due_at, time_left, cleanup_timeout, run_at, traceparent, tracestate, claim, concurrency_key, created_by, cancelled_by
from jobs
where id = any($1::uuid[])
order by jobs.id
for no key update

-- name: get_tasks
-- All tasks of locked jobs: the graph, the rules and the state, with the worker of those that are placed.
select
    t.job_id::text as job_id, t.id::text as id, :rules.columns, t.status, t.reason, t.attempt, t.crashes, t.exit_code,
    t.execution_id::text as execution_id, t.run_at, t.avoid_worker_ids::text[] as avoid_worker_ids, t.queued_at,
    t.started_at, t.finished_at, t.stops, t.detail, t.outputs, t.decision, x.worker_id::text as worker_id
from tasks t
left join executions x
    on x.job_id = t.job_id and x.id = case when t.status in ('scheduled', 'running') then t.execution_id end
where t.job_id = any($1::uuid[])
order by t.job_id, t.position

-- name: get_commands
-- The commands of ready tasks, for the scheduler and the worker. The first row of each job has the environment that its
-- tasks share.
select
    t.job_id::text as job_id, t.id::text as id, t.run,
    case when t.first then j.env end as env, case when t.first then j.params end as params
from (
    select *, row_number() over (partition by job_id order by id) = 1 as first
    from tasks
    where job_id = any($1::uuid[]) and id = any($2::uuid[])
) t
join jobs j on j.id = t.job_id
order by t.job_id, t.id

-- name: save_runs
-- Write the state of jobs, tasks and executions, and append to the timelines (one row per job), all in one round trip.
-- An execution's row is replaced only by a more advanced one. Each job must still have the version with which it was
-- loaded.
with jobs_written as (
    update jobs j
    set version = j.version + 1, :jobs.changes
    from unnest(:jobs.arrays) as new (:jobs.columns)
    where j.id = new.id and j.version = new.version
    returning j.id
),
tasks_written as (
    update tasks t
    set :tasks.changes
    from unnest(:tasks.arrays) as new (:tasks.columns)
    where t.job_id = new.job_id and t.id = new.id
),
executions_written as (
    insert into executions as known (:executions.columns)
    select :executions.values from unnest(:executions.arrays) as new (:executions.columns)
    on conflict (job_id, id) do update
    set status = excluded.status, reason = excluded.reason, detail = excluded.detail, exit_code = excluded.exit_code,
        worker_name = coalesce(known.worker_name, excluded.worker_name),
        started_at = coalesce(excluded.started_at, known.started_at), finished_at = excluded.finished_at,
        log_chunks = excluded.log_chunks, log_truncated = excluded.log_truncated
    where execution_rank(excluded.status) > execution_rank(known.status)
),
timelines as (
    insert into timeline (:timeline.columns)
    select :timeline.values from unnest(:timeline.arrays) as new (:timeline.columns)
)
select must((select count(*) from jobs_written) = cardinality(:jobs.id), 'a job was changed meanwhile')

-- name: save_priorities
-- Write the new priorities of jobs that are locked.
update jobs j
set priority = new.priority, priority_changes = new.priority_changes
from unnest($1::uuid[], $2::text[], $3::integer[]) as new (id, priority, priority_changes)
where j.id = new.id

-- name: close_returned_executions
-- Close executions that never began because their worker gave them back: those older than the one that replaced them,
-- or all of them when the task was taken out of the queue.
update executions x
set status = 'cancelled', reason = 'returned', finished_at = $4
from unnest($1::uuid[], $2::uuid[], $3::uuid[]) as task (job_id, id, before)
where
    x.job_id = task.job_id and x.task_id = task.id and x.status = 'pending'
    and x.id < coalesce(task.before, 'ffffffff-ffff-ffff-ffff-ffffffffffff')

-- name: close_late_executions
-- Close executions whose placement was reported after their task had moved on.
update executions x
set status = 'cancelled', reason = 'returned', finished_at = $3
from unnest($1::uuid[], $2::uuid[]) as late (job_id, id)
where x.job_id = late.job_id and x.id = late.id and x.status = 'pending'

-- name: due_jobs
-- Jobs at their time limit, or at that of their clean-up or of an approval, oldest first.
select id::text from jobs
where due_at is not null and finished_at is null and due_at <= $1
order by due_at
limit $2

-- name: next_deadline
-- When the next job is due.
select min(due_at) from jobs where due_at is not null and finished_at is null

-- name: overdue_tasks
-- A page of tasks of jobs in one status that wait for an event and have had none since $2, from a place in the order of
-- ids on. For a placed task, the time counts from when it could run. Clean-up goes on, so it is not being stopped.
select
    t.job_id::text as job_id, t.id::text as task_id, t.attempt, t.status, t.execution_id::text as execution_id,
    case when t.run_when = 'always' and j.deadline is not null then null else j.stopping end as stopping,
    case when j.priority_changes > 0 then j.priority end as priority, nullif(j.priority_changes, 0) as priority_changes
from jobs j
cross join lateral (
    select one.job_id, one.id, one.attempt, one.status, one.execution_id, one.run_when
    from tasks one
    where
        one.job_id = j.id and one.status in ('queued', 'scheduled', 'running') and one.run is not null
        and coalesce(one.started_at, greatest(one.queued_at, one.run_at)) < $2
        and (one.job_id, one.id) > ($3::uuid, $4::uuid)
) t
where j.status = $1 and j.created_at < $2 and j.id >= $3::uuid
order by j.id, t.id
limit $5

-- name: queued_tasks
-- The fields of tasks.queued for those of these tasks that are still queued: about $3 bytes at most.
with queued as (
    select t.*, j.env, j.params, j.name as job_name, j.priority, j.priority_changes, j.traceparent, j.tracestate,
        octet_length(t.run::text) + octet_length(j.env::text) as bytes
    from tasks t
    join jobs j on j.id = t.job_id
    where t.job_id = any($1::uuid[]) and t.id = any($2::uuid[]) and t.status = 'queued'
        and (j.stopping is null or (t.run_when = 'always' and j.deadline is not null)) -- clean-up goes on
),
counted as (
    select *, sum(bytes) over (order by job_id, id) - bytes as bytes_before from queued
)
select
    t.job_id::text as job_id, t.id::text as id, :rules.columns, t.run, t.attempt, t.run_at,
    t.avoid_worker_ids::text[] as avoid_worker_ids, t.execution_id::text as execution_id, t.queued_at, t.env, t.params,
    t.job_name, t.priority, t.priority_changes, t.traceparent, t.tracestate
from counted t
where t.bytes_before < $3

-- name: ended_steps
-- What the expressions of other steps see of these steps: for each (job, name), its tasks in the order of their index.
select t.job_id::text as job_id, t.name, t.index, t.status, t.outputs
from unnest($1::uuid[], $2::text[]) as seen (job_id, name)
join tasks t on t.job_id = seen.job_id and t.name = seen.name
order by t.job_id, t.position

-- name: known_tasks
-- Those of these tasks that exist.
select id::text as id from tasks where job_id = any($1::uuid[]) and id = any($2::uuid[])

-- name: ended_executions
-- The outcomes of those of these executions that have ended.
select
    x.id::text as id, x.job_id::text as job_id, x.task_id::text as task_id, x.attempt, x.worker_id::text as worker_id,
    x.worker_name, x.status, x.reason, x.detail, x.exit_code, x.placed_at, x.started_at, x.finished_at, x.log_chunks,
    x.log_truncated, case when t.labels::text <> '{}' then t.labels end as labels
from unnest($1::uuid[], $2::uuid[]) as asked (job_id, id)
join executions x on x.job_id = asked.job_id and x.id = asked.id
join tasks t on t.job_id = x.job_id and t.id = x.task_id
where execution_rank(x.status) = 2
