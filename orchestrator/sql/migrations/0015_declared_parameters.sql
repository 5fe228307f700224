-- Parameters that a pipeline declares, kept with its jobs as well, for reruns; the parameters of a job have types.
alter table pipeline_versions add column params json not null default '{}';
alter table jobs add column declared json not null default '{}';

-- Parameters as readers of a job see them, in their types and without the values that look like secrets.
create function shown_params(params json) returns json
language sql stable parallel safe
return (
    select coalesce(
        json_object_agg(
            p.key,
            case when json_typeof(p.value) = 'string' or s.shown = '***' then to_json(s.shown) else p.value end
        ),
        '{}'::json
    )
    from json_each(params) p
    cross join lateral (select shown_environment(json_build_object(p.key, p.value)) ->> p.key as shown) s
);

create or replace function job_json(job jobs) returns json
language sql stable parallel safe
return json_build_object(
    'id', job.id,
    'name', job.name,
    'status', job.status,
    'reason', job.reason,
    'detail', job.detail,
    'pipeline_id', job.pipeline_id,
    'pipeline_version', job.pipeline_version,
    'priority', job.priority,
    'params', case when job.params::text = '{}' then job.params else shown_params(job.params) end,
    'labels', job.labels,
    'run_at', rfc3339(job.run_at),
    'rerun_of', job.rerun_of,
    'schedule_id', job.schedule_id,
    'created_at', rfc3339(job.created_at),
    'started_at', rfc3339(job.started_at),
    'finished_at', rfc3339(job.finished_at)
);

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
    'params', at.params,
    'timeout', at.timeout,
    'cleanup_timeout', at.cleanup_timeout,
    'created_at', rfc3339(pipeline.created_at),
    'updated_at', rfc3339(at.created_at)
);
