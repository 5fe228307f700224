-- Firings of schedules whose jobs were refused, by the id that the job would have had.
create table refused_firings (
    job_id uuid primary key,
    refusal text not null, -- a ScheduleRefused as JSON
    refused_at timestamptz not null default now()
);
create index refused_firings_by_time on refused_firings (refused_at);
