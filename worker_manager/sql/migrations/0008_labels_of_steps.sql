-- Executions carry the labels of their step, where it has any, and are found by them.
alter table executions add column labels jsonb;
create index executions_by_labels on executions using gin (labels jsonb_path_ops) where labels is not null;

create or replace function execution_json(e executions) returns text
    language sql stable parallel safe
    return json_build_object(
        'id', e.id, 'task_id', e.task_id, 'job_id', e.job_id, 'worker_id', e.worker_id, 'worker_name', e.worker_name,
        'attempt', e.attempt, 'labels', coalesce(e.labels, '{}'), 'status', e.status, 'reason', e.reason,
        'detail', e.detail, 'exit_code', e.exit_code,
        'continued_as', case when e.reason = 'returned' then continued_as(e) end,
        'created_at', rfc3339(e.created_at), 'started_at', rfc3339(e.started_at),
        'finished_at', rfc3339(e.finished_at)
    )::text;
