-- Steps that run after a failure, or always; the place of a task in its step's matrix; and what clean-up may take.
alter table tasks
    add column run_when text not null default 'on_success',
    add column condition text,
    add column matrix json,
    add column index integer,
    add column max_parallel integer,
    add column fail_fast boolean not null default true;

alter table pipeline_versions add column cleanup_timeout double precision not null default 60;
alter table jobs add column cleanup_timeout double precision not null default 60;

-- The deadline of a job that is being stopped is that of its clean-up. Jobs that were stopped before have none.
update jobs set deadline = null where stopping is not null and deadline is not null and finished_at is null;
drop index jobs_deadline;
create index jobs_deadline on jobs (deadline) where deadline is not null and finished_at is null;

-- A pipeline at one of its versions as it is answered.
create or replace function pipeline_json(pipeline pipelines, at pipeline_versions) returns json
language sql stable parallel safe
return json_build_object(
    'id', pipeline.id,
    'name', at.name,
    'description', at.description,
    'status', case when pipeline.archived_at is null then 'active' else 'archived' end,
    'version', at.version,
    'steps', at.steps,
    'env', at.env,
    'timeout', at.timeout,
    'cleanup_timeout', at.cleanup_timeout,
    'created_at', rfc3339(pipeline.created_at),
    'updated_at', rfc3339(at.created_at)
);
