-- The scheduler's own tables: tasks in its hands, workers, schedules, and who leads.

create function rfc3339(moment timestamptz) returns text language sql stable parallel safe
return to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

create function priority_name(rank smallint) returns text language sql immutable parallel safe
return case rank when 0 then 'low' when 1 then 'normal' when 2 then 'high' else 'critical' end;

-- One row per task: its latest attempt. A row that is 'done' stays for a while, so that news of it that comes
-- again does not run it again.
create table tasks (
    task_id uuid primary key,
    job_id uuid not null,
    attempt integer not null,
    status text not null check (status in ('waiting', 'placed', 'done')),
    name text not null,
    priority smallint not null,
    requires jsonb not null,
    resources jsonb,
    run text, -- a RunSpec as JSON, opaque here; null once the row is done
    queued_at timestamptz not null,
    ready_at timestamptz not null,
    run_at timestamptz,
    queue_deadline timestamptz,
    wanted_execution_id uuid,
    avoid_worker_id uuid,
    execution_id uuid,
    worker_id uuid,
    incarnation uuid,
    placed_at timestamptz,
    cancel_reason text,
    outcome text,
    done_at timestamptz
) with (fillfactor = 80);

create index tasks_waiting on tasks (priority desc, ready_at, task_id) where status = 'waiting';
create index tasks_delayed on tasks (ready_at, task_id) where status = 'waiting' and run_at is not null;
create index tasks_placed on tasks (worker_id) where status = 'placed';
create index tasks_done on tasks (done_at) where status = 'done';

create table workers (
    id uuid primary key,
    type text not null,
    name text not null,
    status text not null check (status in ('online', 'draining', 'offline')),
    labels jsonb not null,
    capacity jsonb,
    slots integer not null,
    prefetch integer not null,
    has_agent boolean not null,
    incarnation uuid,
    since timestamptz not null,
    registered_at timestamptz not null,
    last_heartbeat timestamptz
);

create index workers_without_agent on workers (last_heartbeat) where not has_agent and status <> 'offline';

create table schedules (
    id uuid primary key,
    status text not null check (status in ('scheduled', 'completed', 'failed')),
    name text,
    target jsonb not null, -- a JobTarget
    job_id uuid,
    pipeline_id uuid,
    run_at timestamptz,
    next_run_at timestamptz,
    last_run_at timestamptz,
    last_job_id uuid,
    last_error text,
    created_at timestamptz not null
);

create index schedules_due on schedules (next_run_at) where next_run_at is not null;
create index schedules_of_job on schedules (job_id) where job_id is not null;
create index schedules_of_pipeline on schedules (pipeline_id) where pipeline_id is not null;

-- Every leader counts itself in; a transaction that one of its predecessors left behind finds its number gone.
create table leadership (
    single boolean primary key default true check (single),
    epoch bigint not null
);
insert into leadership (epoch) values (0);
