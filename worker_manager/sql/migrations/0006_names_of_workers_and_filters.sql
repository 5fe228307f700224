-- An execution says what its worker was called, and is found by every field that a list shows. Most executions are a first
-- attempt, succeed and end with 0: whoever looks for these finds them anywhere, and the indexes leave them out.
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
