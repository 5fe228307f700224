-- Jobs of firings of schedules that were deleted while the firing's event may still come again: it makes no second job.
create table deleted_firings (
    job_id uuid primary key,
    deleted_at timestamptz not null default now()
);
create index deleted_firings_by_time on deleted_firings (deleted_at);
