-- What a job waits for, in words: its concurrency key, the former job of its schedule, or both.
create function claimed_by(id uuid) returns text
language sql stable parallel safe
return (
    select string_agg(
        case c.space when 'key' then 'the concurrency key ' || c.key else 'the former job of schedule ' || c.key end,
        ' and ' order by c.space
    )
    from claims c
    where c.job_id = id
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
    'concurrency_key', job.concurrency_key,
    'concurrency', job.concurrency,
    'waiting_for', case
        when job.claim = 'waiting' and job.finished_at is null and coalesce(job.run_at <= now(), true)
            then claimed_by(job.id)
    end,
    'created_at', rfc3339(job.created_at),
    'started_at', rfc3339(job.started_at),
    'finished_at', rfc3339(job.finished_at)
);
