-- name: insert_jobs
-- Insert new jobs, their tasks and the start of their timelines (one row per job), all in one round trip. Returns the
-- ids that are new as one array, because a job may be requested twice.
with fresh as (
    insert into jobs (:jobs.columns)
    select :jobs.values from unnest(:jobs.arrays) as new (:jobs.columns)
    on conflict (id) do nothing
    returning id
),
tasks_of_them as (
    insert into tasks (:tasks.columns)
    select :tasks.values from unnest(:tasks.arrays) as new (:tasks.columns)
    where job_id in (select id from fresh)
),
timelines as (
    insert into timeline (:timeline.columns)
    select :timeline.values from unnest(:timeline.arrays) as new (:timeline.columns)
    where job_id in (select id from fresh)
)
select array(select id::text from fresh) as fresh

-- name: get_job
-- One job as JSON, what else is shown of it without its tasks, and its tasks with their executions as a JSON
-- array.
select
    job_json(j)::text as job,
    json_build_object(
        'env', shown_environment(j.env), 'timeout', j.timeout, 'cleanup_timeout', j.cleanup_timeout,
        'stopping', case when j.finished_at is null then j.stopping end
    )::text as shared,
    j.claim = 'waiting' and j.finished_at is null as waits,
    coalesce(
        (
            select json_agg(
                json_build_object(
                    'id', t.id,
                    'name', t.name,
                    'status', t.status,
                    'reason', t.reason,
                    'detail', t.detail,
                    'attempt', t.attempt,
                    :rules.shown,
                    'command', t.run -> 'command',
                    'type', case when t.run is null then 'approval' else coalesce(t.run ->> 'type', 'shell') end,
                    'env', shown_environment(coalesce(t.run -> 'env', '{}')),
                    'working_dir', t.run ->> 'working_dir',
                    'timeout', coalesce(t.run -> 'timeout', t.approval -> 'timeout'),
                    'decision', case
                        when coalesce(t.decision ->> 'inputs', '{}') = '{}' then t.decision
                        else (t.decision::jsonb || jsonb_build_object('inputs', shown_params(t.decision -> 'inputs')))::json
                    end,
                    'exit_code', t.exit_code,
                    'outputs', case when t.outputs is null then '{}'::json else shown_environment(t.outputs) end,
                    'queued_at', rfc3339(t.queued_at),
                    'started_at', rfc3339(t.started_at),
                    'finished_at', rfc3339(t.finished_at),
                    'executions', coalesce(e.executions, '[]'::json)
                )
                order by t.position
            )
            from tasks t
            left join (
                select x.task_id, json_agg(
                    json_build_object(
                        'id', x.id,
                        'attempt', x.attempt,
                        'worker_id', x.worker_id,
                        'worker_name', x.worker_name,
                        'status', x.status,
                        'reason', x.reason,
                        'detail', x.detail,
                        'exit_code', x.exit_code,
                        'started_at', rfc3339(x.started_at),
                        'finished_at', rfc3339(x.finished_at)
                    )
                    order by x.attempt, x.id
                ) as executions
                from executions x
                where x.job_id = $1::uuid
                group by x.task_id
            ) e on e.task_id = t.id
            where t.job_id = $1::uuid
        ),
        '[]'::json
    )::text as tasks
from jobs j
where j.id = $1::uuid

-- name: get_job_alone
-- One job as JSON, without its tasks.
select job_json(j)::text from jobs j where j.id = $1::uuid

-- name: get_ends
-- How those of these jobs of schedules ended that are over.
select schedule_id::text as schedule_id, id::text as job_id, status, reason, finished_at
from jobs
where id = any($1::uuid[]) and finished_at is not null and schedule_id is not null

-- name: get_job_status
-- One job's status.
select status from jobs where id = $1::uuid

-- name: count_open_jobs
-- How many jobs have not ended, counted up to a number.
select count(*)::integer
from (select from jobs where status in ('pending', 'running') limit $1) as open

-- name: list_jobs
-- A page of jobs as JSON, newest first. The index by priority leaves out those of normal priority, and the indexes by
-- creator have only jobs that have ended.
select j.id::text as id, job_json(j)::text as body, j.stopping is not null as stopping
from jobs j
where true
    and j.id < :before::uuid -- if given
    and j.status = :status::text -- if given
    and j.status = any(:statuses::text[]) -- if given
    and j.pipeline_id = :pipeline_id::uuid -- if given
    and j.pipeline_id = :pipeline::uuid -- if given
    and j.pipeline_id = any(:pipelines::uuid[]) -- if given
    and j.name = :name::text -- if given
    and j.name ~>=~ :name_from::text -- if given
    and j.name ~<~ :name_to::text -- if given
    and j.priority = :priority::text and j.priority <> 'normal' -- if given
    and j.rerun_of = :rerun_of::uuid -- if given
    and j.schedule_id = :schedule_id::uuid -- if given
    and j.concurrency_key = :concurrency_key::text -- if given
    and searchable_params(j.params) @> :parameters::jsonb and j.params::text <> '{}' -- if given
    and j.reason = :reason::text -- if given
    and j.pipeline_version = :pipeline_version::integer and j.pipeline_id is not null -- if given
    and right(j.id::text, 8) = :short_id::text -- if given
    and j.labels @> :labels::jsonb and j.labels <> '{}' -- if given
    and j.created_by ->> 'id' = :created_by_id::text -- if given
    and j.created_by ->> 'name' = :created_by_name::text -- if given
    and j.cancelled_by ->> 'id' = :cancelled_by_id::text -- if given
    and j.cancelled_by ->> 'name' = :cancelled_by_name::text -- if given
    and j.created_at >= :created_after::timestamptz -- if given
    and j.created_at < :created_before::timestamptz -- if given
    and j.finished_at >= :finished_after::timestamptz -- if given
    and j.finished_at < :finished_before::timestamptz -- if given
    and j.id < :below::uuid -- if given
    and :normal::boolean and j.priority = 'normal' -- if given
    and :unstopped::boolean and j.stopping is null -- if given
order by j.id desc
limit :limit

-- name: count_listed_jobs
-- How many jobs a list has, up to its limit.
select count(*)::integer as count from (
:jobs.listed
) listed

-- name: get_jobs_alone
-- These jobs as JSON, the newest first.
select job_json(j)::text as body, j.stopping is not null as stopping
from jobs j
where j.id = any($1::uuid[])
order by j.id desc

-- name: pipelines_named
-- The pipelines with a name, archived ones as well.
select id::text from pipelines where name = $1 and archived_at is null
union all
select id::text from pipelines where name = $1 and archived_at is not null

-- name: get_timeline
-- A page of the rows of a job's timeline, from one row on. Rows that are not packed have their entries as an array.
select
    t.id as row, t.job_id::text as job_id, t.packed,
    case when t.packed is null then array(
        select e.entry::text from json_array_elements(t.entries) with ordinality as e (entry, position) order by position
    ) end as entries
from timeline t
where t.job_id = $1::uuid and t.id >= $2
order by t.id
limit $3

-- name: get_job_executions
-- A job's executions with the state of their logs, in the order of their start; those that have not begun come last.
select
    x.id::text as id, x.worker_id::text as worker_id, x.attempt, x.status, x.log_chunks, x.log_truncated, t.name as task, t.matrix, t.index, t.position, t.depends_on,
    x.started_at, x.finished_at
from executions x
join tasks t on t.job_id = x.job_id and t.id = x.task_id
where x.job_id = $1::uuid
order by x.started_at nulls last, x.id

-- name: has_step
-- Whether a job has a step of this name.
select exists (select from tasks t where t.job_id = $1::uuid and t.name = $2)

-- name: get_job_to_rerun
-- A job's definition.
select
    j.name, j.status, j.pipeline_id::text as pipeline_id, j.pipeline_version, j.priority, j.env, j.params, j.labels,
    j.declared, j.timeout, j.cleanup_timeout, j.key_template, j.concurrency, p.archived_at is not null as archived,
    j.created_by ->> 'id' as created_by
from jobs j left join pipelines p on p.id = j.pipeline_id
where j.id = $1::uuid

-- name: get_tasks_to_rerun
-- A job's tasks with their complete definitions and their outcomes.
select
    t.id::text as id, :rules.columns, t.run, t.status, t.reason, t.detail, t.exit_code, t.outputs, t.decision, t.queued_at,
    t.started_at, t.finished_at
from tasks t
where t.job_id = $1::uuid
order by t.position

-- name: describe_task
-- One task by its id alone, with its job's status, its dependencies and its worker.
select
    t.id::text as task_id, t.job_id::text as job_id, t.name, t.matrix, t.status, t.reason, t.detail, t.attempt,
    t.exit_code, t.run_at, t.started_at, t.approval ->> 'message' as asks, t.condition, t.execution_id::text as execution_id,
    x.worker_id::text as worker_id, x.worker_name,
    j.status as job_status, j.claim = 'waiting' and j.finished_at is null as waits,
    (
        select coalesce(json_agg(json_build_object(
            'name', d.name, 'matrix', d.matrix, 'status', d.status, 'asks', d.approval is not null,
            'satisfied', d.status = 'succeeded' or (d.status = 'failed' and d.allow_failure)
                or (d.status = 'skipped' and d.reason = 'condition')
        ) order by d.position), '[]'::json)
        from tasks d
        where d.job_id = t.job_id and d.name in (select json_array_elements_text(t.depends_on))
    ) as depends_on
from tasks t
join jobs j on j.id = t.job_id
left join executions x on x.job_id = t.job_id and x.id = t.execution_id
where t.id = $1::uuid

-- name: job_of_task
-- The id of a task's job.
select job_id::text from tasks where id = $1::uuid

-- name: list_approvals
-- A page of the approvals that wait for a decision as JSON, newest first.
select
    t.id::text as id,
    json_build_object(
        'id', t.id,
        'job_id', t.job_id,
        'job_name', j.name,
        'name', t.name,
        'message', t.approval ->> 'message',
        'started_at', rfc3339(t.started_at),
        'decide_by', rfc3339(t.started_at + make_interval(secs => (t.approval ->> 'timeout')::float8)),
        'inputs', coalesce(t.approval -> 'inputs', '{}')
    )::text as body
from tasks t
join jobs j on j.id = t.job_id
where t.asked
    and t.id < :before::uuid -- if given
order by t.id desc
limit :limit

-- name: count_approvals
-- How many approvals wait for a decision, and since when the oldest does.
select count(*)::integer as count, min(started_at) as since from tasks where asked
