-- How many jobs have each status, and how many were created and ended in each minute (docs/adr/0033). Each transaction
-- that changes these numbers appends a row; a loop adds the rows up, and deletes them.
create table job_changes (
    at timestamptz not null default now(),
    deleted boolean not null default false,
    created integer not null default 0,
    pending integer not null default 0,
    running integer not null default 0,
    succeeded integer not null default 0,
    failed integer not null default 0,
    cancelled integer not null default 0
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- One row: the numbers without what is in `job_changes`.
create table job_counts (
    pending bigint not null,
    running bigint not null,
    succeeded bigint not null,
    failed bigint not null,
    cancelled bigint not null
);
insert into job_counts
select
    count(*) filter (where status = 'pending'), count(*) filter (where status = 'running'),
    count(*) filter (where status = 'succeeded'), count(*) filter (where status = 'failed'),
    count(*) filter (where status = 'cancelled')
from jobs;

create table job_minutes (
    minute timestamptz primary key,
    created integer not null,
    succeeded integer not null,
    failed integer not null,
    cancelled integer not null
);
insert into job_minutes
select date_trunc('minute', at), sum(created), sum(succeeded), sum(failed), sum(cancelled)
from (
    select created_at as at, 1 as created, 0 as succeeded, 0 as failed, 0 as cancelled from jobs
    union all
    select
        finished_at, 0, (status = 'succeeded')::integer, (status = 'failed')::integer, (status = 'cancelled')::integer
    from jobs where finished_at is not null
) known
group by 1;
