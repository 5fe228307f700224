-- An execution that its worker gave back before it began says which one took its place.

-- Of one attempt at most one execution is not given back. A function of its own, so that execution_json is still inlined
-- and this is asked for few rows only.
create function continued_as(e executions) returns uuid
    language sql stable parallel safe
    return (
        select x.id from executions x
        where x.task_id = e.task_id and x.attempt = e.attempt and x.reason is distinct from 'returned'
        order by x.id desc limit 1
    );

create or replace function execution_json(e executions) returns text
    language sql stable parallel safe
    return json_build_object(
        'id', e.id, 'task_id', e.task_id, 'job_id', e.job_id, 'worker_id', e.worker_id, 'attempt', e.attempt,
        'status', e.status, 'reason', e.reason, 'detail', e.detail, 'exit_code', e.exit_code,
        'continued_as', case when e.reason = 'returned' then continued_as(e) end,
        'created_at', rfc3339(e.created_at), 'started_at', rfc3339(e.started_at),
        'finished_at', rfc3339(e.finished_at)
    )::text;
