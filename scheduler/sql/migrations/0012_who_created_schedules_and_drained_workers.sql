-- Who created a schedule, who requested that it fires, and who drained a worker: `{"id", "name"}` of the token; null with
-- access off. Workers are few: they are filtered by it without an index.
alter table schedules add column created_by jsonb;
alter table firings add column triggered_by jsonb;
alter table workers add column drained_by jsonb;
create index schedules_by_creators_id on schedules ((created_by->>'id'), id) where created_by is not null;
create index schedules_by_creators_name on schedules ((created_by->>'name'), id) where created_by is not null;

-- A schedule as it is answered.
create function schedule_json(s schedules) returns text
language sql stable parallel safe
return json_build_object(
    'id', s.id, 'status', s.status, 'name', s.name, 'job_id', s.job_id, 'pipeline_id', s.pipeline_id,
    'command', s.target->'command'->'command', 'run_at', rfc3339(s.run_at), 'cron', s.cron, 'timezone', s.timezone,
    'every', s.every, 'description', s.description, 'start', rfc3339(s.starts_at), 'end', rfc3339(s.ends_at),
    'jitter', s.jitter,
    'overlap', case when s.catch_up is not null then coalesce(s.target->>'overlap', 'allow') end,
    'catch_up', s.catch_up, 'catch_up_limit', s.catch_up_limit, 'priority', s.target->'priority',
    'params', s.shown->'params', 'env', s.shown->'env', 'labels', coalesce(s.target->'labels', '{}'),
    'concurrency_key', s.target->'concurrency_key', 'concurrency', s.target->'concurrency',
    'next_run_at', rfc3339(s.next_run_at), 'last_run_at', rfc3339(s.last_run_at), 'last_job_id', s.last_job_id,
    'last_error', s.last_error, 'missed', s.missed, 'created_by', s.created_by,
    'created_at', rfc3339(s.created_at))::text;
