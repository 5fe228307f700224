-- Who requested an execution directly, a worker, and the stop of a worker: `{"id", "name"}` of the token; null with access
-- off. Workers are few: they are filtered by it without an index.
alter table executions add column created_by jsonb;
alter table workers
    add column created_by jsonb,
    add column stop_requested_by jsonb;
create index executions_by_creators_id on executions ((created_by->>'id'), id) where created_by is not null;
create index executions_by_creators_name on executions ((created_by->>'name'), id) where created_by is not null;

create or replace function execution_json(e executions) returns text
    language sql stable parallel safe
    return json_build_object(
        'id', e.id, 'task_id', e.task_id, 'job_id', e.job_id, 'worker_id', e.worker_id, 'worker_name', e.worker_name,
        'attempt', e.attempt, 'labels', coalesce(e.labels, '{}'), 'status', e.status, 'reason', e.reason,
        'detail', e.detail, 'exit_code', e.exit_code,
        'continued_as', case when e.reason = 'returned' then continued_as(e) end,
        'created_by', e.created_by, 'created_at', rfc3339(e.created_at), 'started_at', rfc3339(e.started_at),
        'finished_at', rfc3339(e.finished_at)
    )::text;

create or replace function worker_json(w workers) returns text
    language sql stable parallel safe
    return json_build_object(
        'id', w.id, 'type', w.type, 'name', w.name, 'status', w.status, 'provider', w.provider,
        'labels', w.labels, 'slots', w.slots, 'pid', w.pid, 'stop_requested', w.intent,
        'stop_requested_by', w.stop_requested_by, 'exit_code', w.exit_code, 'detail', w.detail,
        'created_by', w.created_by, 'created_at', rfc3339(w.created_at), 'started_at', rfc3339(w.started_at),
        'stopped_at', rfc3339(w.stopped_at)
    )::text;
