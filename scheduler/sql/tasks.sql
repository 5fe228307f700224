-- The scheduler's tasks: what the leader writes, and what a new leader reads.

-- name: begin_epoch
-- Take the next epoch for a new leader. Waits for the transactions of its predecessor.
update leadership set epoch = epoch + 1 returning epoch;

-- name: hold_epoch
-- Whether this leader's epoch is still the current one. Blocks a new leader until the transaction ends.
with leader as (
    select true from leadership where epoch = $1 for share
)
select must(exists (select from leader), 'another scheduler leads');

-- name: load_placed
-- All placed tasks, without their commands: a part of a new leader's memory.
select :tasks.columns, cancel_reason
from tasks
where status = 'placed';

-- name: load_waiting
-- A page of waiting tasks, without their commands, in the order of the queue, after the position
-- (priority, ready_at, task_id), or from the start if it is null: the other part of a new leader's memory.
select :tasks.columns, cancel_reason
from tasks
where status = 'waiting'
  and (:priority::smallint is null or priority <= :priority)
  and (:priority::smallint is null or priority < :priority
       or (ready_at, tasks.task_id) > (:ready_at::timestamptz, :task_id::uuid))
order by tasks.priority desc, tasks.ready_at, tasks.task_id
limit :limit;

-- name: get_runs
-- The commands of waiting attempts, as JSON.
select t.task_id::text, t.run
from tasks t
join unnest($1::uuid[], $2::int[]) as n (task_id, attempt) on t.task_id = n.task_id and t.attempt = n.attempt
where t.run is not null;

-- name: write_arrivals
-- Write new attempts, waiting or placed at once. Returns those written: an attempt not newer than its row is not. With
-- `all_of_them`, all must be written.
with arrived as (
    insert into tasks as t (:tasks.columns, :runs.columns, done_at)
    select :tasks.values, :runs.values, case when status = 'done' then now() end
    from unnest(:tasks.arrays, :runs.arrays) as new (:tasks.columns, :runs.columns)
    on conflict (task_id) do update
    set :tasks.excluded, :runs.excluded, done_at = excluded.done_at, cancel_reason = null, report = null,
        packed_report = null
    where t.attempt < excluded.attempt
    returning task_id::text
)
select array(select task_id from arrived) as taken,
       must(not :all_of_them or (select count(*) from arrived) = cardinality(:tasks.task_id), 'a task is known already');

-- name: write_updates
-- Update attempts that have a row: placed, waiting again, or to be cancelled.
with updated as (
    update tasks t
    set :tasks.changes
    from unnest(:tasks.arrays) as new (:tasks.columns)
    where t.task_id = new.task_id and t.attempt = new.attempt and t.status <> 'done'
)
select true as updated;

-- name: write_priorities
-- Write the changed priorities of jobs, for orders that come late.
with written as (
    insert into job_priorities as known (:priorities.columns, changed_at)
    select :priorities.values, now()
    from unnest(:priorities.arrays) as new (:priorities.columns)
    on conflict (job_id) do update
    set priority = excluded.priority, changes = excluded.changes, changed_at = excluded.changed_at
    where known.changes < excluded.changes
)
select true as written;

-- name: load_priorities
-- The latest changes of priorities, the earliest first.
select job_id::text, priority, changes
from (select * from job_priorities order by changed_at desc limit $1) latest
order by changed_at;

-- name: purge_priorities
-- Delete a bounded number of changed priorities that are older than any order that may still come.
delete from job_priorities
where job_id in (
    select job_id from job_priorities where changed_at < $1 order by changed_at limit $2
);

-- name: write_done
-- Mark attempts as ended. The row stays, without what only an attempt that waits or runs needs.
with ended as (
    update tasks t
    set :tasks.changes, status = 'done', done_at = now(), run = null, requires = '{}', resources = null, matrix = null,
        index = null, incarnation = null, placed_at = null, wanted_execution_id = null
    from unnest(:tasks.arrays) as new (:tasks.columns)
    where t.task_id = new.task_id and t.attempt = new.attempt and t.status <> 'done'
)
select true as ended;

-- name: write_marks
-- Write ends and cancellations of attempts that have not arrived yet, so that they never start. Returns the new rows.
insert into tasks as t (:marks.columns, status, name, priority, requires, queued_at, ready_at, done_at)
select :marks.values, 'done', '', 1, '{}', now(), now(), now()
from unnest(:marks.arrays) as new (:marks.columns)
on conflict (task_id) do update
set attempt = excluded.attempt, status = 'done', outcome = excluded.outcome, done_at = excluded.done_at, run = null,
    report = null, packed_report = excluded.packed_report
where t.attempt < excluded.attempt
returning task_id::text;

-- name: recall_tasks
-- The rows of these tasks.
select t.task_id::text, t.job_id::text, t.attempt, t.status, t.name, t.run, t.labels, t.matrix, t.index,
       t.execution_id::text, t.worker_id::text,
       w.name as worker_name, t.incarnation::text, t.placed_at, t.cancel_reason, t.outcome, t.report, t.packed_report,
       t.traceparent
from tasks t
left join workers w on w.id = t.worker_id
where t.task_id = any($1::uuid[]);

-- name: purge_done
-- Delete a bounded number of attempts that ended long ago.
delete from tasks
where task_id in (
    select task_id from tasks where status = 'done' and done_at < $1 order by done_at limit $2
);

-- name: queue_ready
-- A page of tasks that are ready at a moment, in the order of the queue, after (priority, ready_at, task_id) or nulls.
select json_build_object(
           'task_id', task_id, 'job_id', job_id, 'name', name, 'matrix', matrix, 'index', index, 'position', :before::bigint + row_number() over (),
           'priority', priority_name(priority), 'attempt', attempt, 'requires', requires, 'resources', resources,
           'labels', labels, 'queued_at', rfc3339(queued_at), 'run_at', rfc3339(run_at))::text as body,
       task_id::text, priority, ready_at
from (
    select *
    from tasks
    where status = 'waiting' and (run_at is null or ready_at <= :as_of)
      and priority = :priority::smallint -- if given
      and job_id = :job_id::uuid -- if given
      and name = :name::text -- if given
      and attempt = :attempt::int -- if given
      and requires @> :requires::jsonb -- if given
      and labels @> :labels::jsonb -- if given
      and priority <= :rank::smallint and (priority < :rank or (ready_at, task_id) > (:ready_at::timestamptz, :task_id::uuid)) -- if given
    order by priority desc, ready_at, task_id
    limit :limit
) page
order by page.priority desc, page.ready_at, page.task_id;

-- name: queue_delayed
-- A page of tasks that are not yet due at a moment, the next due first, after (ready_at, task_id) or nulls.
select json_build_object(
           'task_id', task_id, 'job_id', job_id, 'name', name, 'matrix', matrix, 'index', index, 'position', :before::bigint + row_number() over (),
           'priority', priority_name(priority), 'attempt', attempt, 'requires', requires, 'resources', resources,
           'labels', labels, 'queued_at', rfc3339(queued_at), 'run_at', rfc3339(run_at))::text as body,
       task_id::text, priority, ready_at
from (
    select *
    from tasks
    where status = 'waiting' and run_at is not null and ready_at > :as_of
      and priority = :priority::smallint -- if given
      and job_id = :job_id::uuid -- if given
      and name = :name::text -- if given
      and attempt = :attempt::int -- if given
      and requires @> :requires::jsonb -- if given
      and labels @> :labels::jsonb -- if given
      and (ready_at, task_id) > (:ready_at::timestamptz, :task_id::uuid) -- if given
    order by ready_at, task_id
    limit :limit
) page
order by page.ready_at, page.task_id;

-- name: find_task
-- One task, with the columns that an explanation needs.
select :tasks.columns, (select w.name from workers w where w.id = tasks.worker_id) as worker_name,
       run_at is not null and ready_at > now() as delayed
from tasks
where tasks.task_id = $1;

-- name: task_position
-- How many ready tasks are before (priority, ready_at, task_id) in the queue.
select count(*)
from tasks
where status = 'waiting' and (run_at is null or ready_at <= now())
  and (priority > $1 or (priority = $1 and (ready_at, task_id) < ($2, $3::uuid)));
