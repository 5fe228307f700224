-- `detail` says in words what a reason alone does not: what a job or task waited for, or why it could not start.
-- `avoid_worker_ids` are the workers on which earlier attempts failed, the last one first; it takes the place of
-- `avoid_worker_id`, which is no longer written. `stops` counts attempts that ended because their worker was stopped on
-- order: they use up neither the crashes nor the attempts.
alter table jobs add column detail text;
alter table tasks
    add column detail text, add column avoid_worker_ids uuid[], add column stops integer not null default 0;

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
    'params', job.params,
    'labels', job.labels,
    'run_at', rfc3339(job.run_at),
    'rerun_of', job.rerun_of,
    'schedule_id', job.schedule_id,
    'created_at', rfc3339(job.created_at),
    'started_at', rfc3339(job.started_at),
    'finished_at', rfc3339(job.finished_at)
);
