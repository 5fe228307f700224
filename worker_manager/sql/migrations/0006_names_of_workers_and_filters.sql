-- Executions carry the name of their worker, and have an index for each field by which a list is filtered. Most are a
-- first attempt and end with exit code 0: a list of these finds them anywhere, so the indexes leave them out.
alter table executions add column worker_name text;
create index executions_by_worker_name on executions (worker_name, id) where worker_name is not null;
create index executions_by_exit_code on executions (exit_code, id) where exit_code > 0;
create index executions_by_attempt on executions (attempt, id) where attempt > 1;
create index executions_by_creation on executions (created_at);

create or replace function execution_json(e executions) returns text
    language sql stable parallel safe
    return json_build_object(
        'id', e.id, 'task_id', e.task_id, 'job_id', e.job_id, 'worker_id', e.worker_id, 'worker_name', e.worker_name,
        'attempt', e.attempt, 'status', e.status, 'reason', e.reason, 'detail', e.detail, 'exit_code', e.exit_code,
        'continued_as', case when e.reason = 'returned' then continued_as(e) end,
        'created_at', rfc3339(e.created_at), 'started_at', rfc3339(e.started_at),
        'finished_at', rfc3339(e.finished_at)
    )::text;
