-- Pipelines, jobs, their tasks and executions, and each job's timeline.
--
-- Rows of tasks, executions and timeline belong to a job and are only written under the lock of its row, so that no
-- foreign keys are needed to keep them together, and none are paid for.

-- Times in answers: RFC 3339 in UTC with microseconds.
create function rfc3339(moment timestamptz) returns text
language sql stable strict parallel safe
return to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- How far along its life an execution is: a report may only raise it.
create function execution_rank(status text) returns integer
language sql immutable strict parallel safe
return case status when 'pending' then 0 when 'running' then 1 else 2 end;

create table pipelines (
    id uuid primary key,
    name text not null,
    description text,
    version integer not null,
    archived_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index pipelines_active on pipelines (id desc) where archived_at is null;
create index pipelines_name on pipelines (name, id desc) where archived_at is null;

-- What a pipeline was at each version; a version never changes.
create table pipeline_versions (
    pipeline_id uuid not null references pipelines,
    version integer not null,
    steps json not null,
    env json not null,
    timeout double precision,
    created_at timestamptz not null,
    primary key (pipeline_id, version)
);

create table jobs (
    id uuid primary key,
    name text not null,
    status text not null,
    reason text,
    stopping text,
    pipeline_id uuid,
    pipeline_version integer,
    priority text not null,
    params json not null,
    labels json not null,
    timeout double precision,
    run_at timestamptz,
    deadline timestamptz,
    rerun_of uuid,
    schedule_id uuid,
    created_at timestamptz not null,
    started_at timestamptz,
    finished_at timestamptz
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
create index jobs_status on jobs (status, id desc);
create index jobs_name on jobs (name, id desc);
create index jobs_priority on jobs (priority, id desc);
create index jobs_pipeline on jobs (pipeline_id, id desc) where pipeline_id is not null;
create index jobs_rerun_of on jobs (rerun_of, id desc) where rerun_of is not null;
create index jobs_schedule on jobs (schedule_id, id desc) where schedule_id is not null;
create index jobs_deadline on jobs (deadline)
where deadline is not null and stopping is null and finished_at is null;

-- One row per step of a job: its frozen definition (`run` has the environment resolved but for what the platform
-- adds) and how far it is.
create table tasks (
    job_id uuid not null,
    id uuid not null,
    position integer not null,
    name text not null,
    depends_on json not null,
    allow_failure boolean not null,
    retry json,
    retry_on_lost boolean not null,
    max_crashes integer not null,
    run json not null,
    requires json not null,
    resources json,
    queue_timeout double precision,
    status text not null,
    reason text,
    attempt integer not null,
    crashes integer not null default 0,
    exit_code integer,
    execution_id uuid,
    run_at timestamptz,
    avoid_worker_id uuid,
    queued_at timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    reminded_at timestamptz,
    primary key (job_id, id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

create table executions (
    job_id uuid not null,
    id uuid not null,
    task_id uuid not null,
    attempt integer not null,
    worker_id uuid,
    status text not null,
    reason text,
    detail text,
    exit_code integer,
    placed_at timestamptz not null,
    started_at timestamptz,
    finished_at timestamptz,
    log_chunks integer,
    log_truncated boolean not null default false,
    primary key (job_id, id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- What happened to a job, in order: several entries to a row, as they were written together. Rows of one job are
-- written under its lock, so that their ids ascend in the order of commits.
create table timeline (
    id bigint generated always as identity,
    job_id uuid not null,
    entries json not null,
    primary key (job_id, id)
);

-- A job as it is answered.
create function job_json(job jobs) returns json
language sql stable parallel safe
return json_build_object(
    'id', job.id,
    'name', job.name,
    'status', job.status,
    'reason', job.reason,
    'pipeline_id', job.pipeline_id,
    'pipeline_version', job.pipeline_version,
    'priority', job.priority,
    'params', job.params,
    'labels', job.labels,
    'run_at', rfc3339(job.run_at),
    'rerun_of', job.rerun_of,
    'schedule_id', job.schedule_id,
    'created_at', rfc3339(job.created_at),
    'started_at', rfc3339(job.started_at),
    'finished_at', rfc3339(job.finished_at)
);

-- A pipeline at one of its versions as it is answered.
create function pipeline_json(pipeline pipelines, at pipeline_versions) returns json
language sql stable parallel safe
return json_build_object(
    'id', pipeline.id,
    'name', pipeline.name,
    'description', pipeline.description,
    'status', case when pipeline.archived_at is null then 'active' else 'archived' end,
    'version', pipeline.version,
    'steps', at.steps,
    'env', at.env,
    'timeout', at.timeout,
    'created_at', rfc3339(pipeline.created_at),
    'updated_at', rfc3339(pipeline.updated_at)
);
