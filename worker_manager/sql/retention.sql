-- name: delete_executions_of_jobs
-- Delete a bounded number of the executions of jobs.
delete from executions
where id in (select id from executions where job_id = any($1::uuid[]) order by job_id, executions.id limit $2)

-- name: executions_to_purge
-- A page of executions in the order of their ids, between two ids, each with its job, whether it ended before a moment,
-- and whether it is over or was ordered, so that it is of no use without its job.
select
    id::text as id, job_id::text as job_id, coalesce(finished_at < $3::timestamptz and rank = 2, false) as old,
    rank = 2 or request is null as settled
from executions
where id > $1::uuid and id < $2::uuid
order by executions.id
limit $4

-- name: delete_executions
-- Delete executions, except those that another process is writing or deleting.
delete from executions
where id in (select id from executions where id = any($1::uuid[]) order by executions.id for update skip locked)

-- name: oldest_execution_over
-- The end of the first execution after an id that has ended, among the next $2 executions.
select min(finished_at) from (
    select finished_at from executions where id > $1::uuid order by executions.id limit $2
) next
