-- Jobs are found by their labels, and by the last eight characters of their id, which people type (the first ones of a
-- UUIDv7 are its time, shared by all that were made in the same minute).
drop function job_json (jobs);
alter table jobs alter column labels type jsonb using labels::jsonb;
create index jobs_labels on jobs using gin (labels jsonb_path_ops) where labels <> '{}';
create index jobs_short_id on jobs ("right"(id::text, 8));

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
