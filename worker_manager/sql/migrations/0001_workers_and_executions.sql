-- The worker manager's own facts: the worker processes that it started, and every execution handed to a worker.

create function rfc3339(moment timestamptz) returns text
    language sql stable parallel safe
    return to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

create table workers (
    id uuid primary key,
    type text not null,
    name text not null,
    status text not null,
    provider text not null,
    labels jsonb not null,
    slots int not null,
    -- Which instance of the service started it and watches over it; see instance.py.
    instance text not null,
    -- What the provider needs to find the process again after a restart of the service.
    handle jsonb,
    pid int,
    -- What was asked for: 'drain' or 'force'. Null while nobody wants the worker to end.
    intent text,
    exit_code int,
    detail text,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    stopped_at timestamptz
);

create index workers_alive on workers (instance) where status in ('starting', 'running', 'draining');

create table executions (
    id uuid primary key,
    task_id uuid not null,
    job_id uuid not null,
    -- Both null until the scheduler has chosen a worker.
    worker_id uuid,
    incarnation uuid,
    attempt int not null,
    status text not null,
    -- The status' rank in its state machine: reports only ever raise it.
    rank smallint not null,
    reason text,
    detail text,
    exit_code int,
    -- The order as it was sent (schemas.agents.Assignment as JSON), kept only until the worker has it: it may hold
    -- secrets.
    assignment text,
    sent_at timestamptz,
    log_chunks int,
    log_truncated boolean not null default false,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz
) with (fillfactor = 80);

-- Ids are UUIDv7: descending by id is newest first, so one index serves a filter and the order of its list.
create index executions_by_status on executions (status, id);
create index executions_by_job on executions (job_id, id);
create index executions_by_task on executions (task_id, id);
create index executions_by_worker on executions (worker_id, id);

create function execution_json(e executions) returns text
    language sql stable parallel safe
    return json_build_object(
        'id', e.id, 'task_id', e.task_id, 'job_id', e.job_id, 'worker_id', e.worker_id, 'attempt', e.attempt,
        'status', e.status, 'reason', e.reason, 'detail', e.detail, 'exit_code', e.exit_code,
        'created_at', rfc3339(e.created_at), 'started_at', rfc3339(e.started_at),
        'finished_at', rfc3339(e.finished_at)
    )::text;

create function worker_json(w workers) returns text
    language sql stable parallel safe
    return json_build_object(
        'id', w.id, 'type', w.type, 'name', w.name, 'status', w.status, 'provider', w.provider,
        'labels', w.labels, 'slots', w.slots, 'pid', w.pid, 'exit_code', w.exit_code, 'detail', w.detail,
        'created_at', rfc3339(w.created_at), 'started_at', rfc3339(w.started_at), 'stopped_at', rfc3339(w.stopped_at)
    )::text;
