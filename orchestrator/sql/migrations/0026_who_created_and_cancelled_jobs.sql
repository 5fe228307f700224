-- Who submitted a job, and who requested its cancellation: `{"id", "name"}` of the token. Null with access off: then the
-- indexes have no entries.
alter table jobs
    add column created_by json,
    add column cancelled_by json;
create index jobs_created_by_id on jobs ((created_by ->> 'id'), id desc) where created_by is not null;
create index jobs_created_by_name on jobs ((created_by ->> 'name'), id desc) where created_by is not null;
create index jobs_cancelled_by_id on jobs ((cancelled_by ->> 'id'), id desc) where cancelled_by is not null;
create index jobs_cancelled_by_name on jobs ((cancelled_by ->> 'name'), id desc) where cancelled_by is not null;

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
    'concurrency_key', job.concurrency_key,
    'concurrency', job.concurrency,
    'waiting_for', case
        when job.claim = 'waiting' and job.finished_at is null and coalesce(job.run_at <= now(), true)
            then claimed_by(job.id)
    end,
    'created_by', job.created_by,
    'cancelled_by', job.cancelled_by,
    'created_at', rfc3339(job.created_at),
    'started_at', rfc3339(job.started_at),
    'finished_at', rfc3339(job.finished_at)
);
