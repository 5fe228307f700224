-- The priorities of jobs that were changed after their submission, for orders that come late or again. `changes` is the
-- number of the change: the highest one holds.
create table job_priorities (
    job_id uuid primary key,
    priority smallint not null,
    changes integer not null,
    changed_at timestamptz not null
);
create index job_priorities_changed on job_priorities (changed_at);
