-- Steps that wait for an approval; a job's time stands still meanwhile.
alter table tasks
    alter column run drop not null,
    add column approval json,
    add column decision json;

alter table jobs
    add column due_at timestamptz,
    add column time_left interval;
update jobs set due_at = deadline where deadline is not null and finished_at is null;
drop index jobs_deadline;
create index jobs_due on jobs (due_at) where due_at is not null and finished_at is null;

create index tasks_asked on tasks (id desc) where approval is not null and status = 'running';
