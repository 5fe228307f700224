-- Schedules that fire more than once, and their history.
--
-- `shown` has what an answer shows of the target's values: those that look like secrets are masked. `every` counts from
-- `anchor`. `next_due_at` is the due time itself, `next_run_at` when the schedule fires for it: later by the jitter.
-- `changed_at`: a verdict about an earlier firing says nothing about the schedule any more.
alter table schedules drop constraint schedules_status_check;
alter table schedules add constraint schedules_status_check
check (status in ('scheduled', 'paused', 'completed', 'failed'));
alter table schedules
    add column shown jsonb not null default '{"env": {}, "params": {}}',
    add column cron text,
    add column timezone text,
    add column every double precision,
    add column anchor timestamptz,
    add column starts_at timestamptz,
    add column ends_at timestamptz,
    add column jitter double precision,
    add column catch_up text check (catch_up in ('none', 'last', 'all')),
    add column catch_up_limit integer,
    add column description text,
    add column next_due_at timestamptz,
    add column last_due_at timestamptz,
    add column missed bigint not null default 0,
    add column changed_at timestamptz;

-- What is there was submitted before its values were shown: only their names are.
update schedules s set
    next_due_at = next_run_at,
    last_due_at = case when last_job_id is not null then coalesce(run_at, created_at) end,
    shown = jsonb_build_object(
        'env', (
            select coalesce(jsonb_object_agg(name, '***'), '{}')
            from jsonb_object_keys(coalesce(s.target->'env', '{}') || coalesce(s.target->'command'->'env', '{}')) as name
        ),
        'params', (
            select coalesce(jsonb_object_agg(name, '***'), '{}')
            from jsonb_object_keys(coalesce(s.target->'params', '{}')) as name
        )
    );

-- One row for each due time, or for a range of due times that were missed, and for each request to fire. Its id is that
-- of the job that it orders.
create table firings (
    id uuid primary key,
    schedule_id uuid not null references schedules on delete cascade,
    kind text not null check (kind in ('time', 'catch_up', 'trigger')),
    outcome text not null
    check (outcome in ('waiting', 'fired', 'succeeded', 'failed', 'cancelled', 'skipped', 'missed', 'refused')),
    due_at timestamptz not null,
    first_due_at timestamptz,
    count integer not null default 1,
    more boolean not null default false,
    fired_at timestamptz,
    finished_at timestamptz,
    heard_at timestamptz, -- since when it is known that the orchestrator has heard of it
    reason text,
    detail text
) with (fillfactor = 80);

-- Exactly one firing for each due time.
create unique index firings_once on firings (schedule_id, due_at);
create index firings_waiting on firings (id) where outcome = 'waiting';
create index firings_waiting_of on firings (schedule_id) where outcome = 'waiting';
create index firings_open on firings (id) where outcome = 'fired' and finished_at is null;

insert into firings (id, schedule_id, kind, outcome, due_at, fired_at, heard_at)
select last_job_id, id, 'time', 'fired', coalesce(run_at, created_at), last_run_at, heard_at
from schedules
where last_job_id is not null
on conflict do nothing;
