-- Schedules: jobs that are created at a given time.

-- name: insert_schedule
-- Insert a schedule that is due at $7.
insert into schedules (id, status, name, target, job_id, pipeline_id, run_at, next_run_at, created_at, traceparent)
values ($1, 'scheduled', $2, $3, $4, $5, $6, $7, $8, $9);

-- name: list_schedules
-- A page of schedules, newest first, as JSON.
select json_build_object(
           'id', id, 'status', status, 'name', name, 'job_id', job_id, 'pipeline_id', pipeline_id,
           'command', target->'command'->'command', 'run_at', rfc3339(run_at), 'cron', null, 'timezone', null,
           'next_run_at', rfc3339(next_run_at), 'last_run_at', rfc3339(last_run_at), 'last_job_id', last_job_id,
           'last_error', last_error, 'created_at', rfc3339(created_at))::text as body,
       id::text
from schedules
where true
  and id < $1::uuid -- if given
  and status = $2::text -- if given
  and job_id = $3::uuid -- if given
  and pipeline_id = $4::uuid -- if given
  and name = $5::text -- if given
order by schedules.id desc
limit $6;

-- name: get_schedule
-- One schedule as JSON.
select json_build_object(
           'id', id, 'status', status, 'name', name, 'job_id', job_id, 'pipeline_id', pipeline_id,
           'command', target->'command'->'command', 'run_at', rfc3339(run_at), 'cron', null, 'timezone', null,
           'next_run_at', rfc3339(next_run_at), 'last_run_at', rfc3339(last_run_at), 'last_job_id', last_job_id,
           'last_error', last_error, 'created_at', rfc3339(created_at))::text
from schedules
where id = $1;

-- name: delete_schedule
-- Delete a schedule, whether it has fired or not.
delete from schedules where id = $1;

-- name: due_schedules
-- Schedules that are due at $1, locked so that no other transaction fires them.
select id::text, target, next_run_at, traceparent
from schedules
where next_run_at <= $1
order by next_run_at
limit $2
for update skip locked;

-- name: mark_fired
-- Record that these schedules have fired, each with the job that it created.
update schedules s
set status = 'completed', last_run_at = $3, next_run_at = null, last_job_id = n.job_id, heard_at = null
from unnest($1::uuid[], $2::uuid[]) as n (id, job_id)
where s.id = n.id;

-- name: next_due
-- Seconds until the next schedule is due.
select extract(epoch from min(next_run_at) - now())::float8 from schedules where next_run_at is not null;

-- name: refuse_schedules
-- Mark schedules whose target does not exist or cannot run.
update schedules s
set status = 'failed', next_run_at = null, last_job_id = null, last_error = n.detail, heard_at = now()
from unnest($1::uuid[], $2::text[]) as n (id, detail)
where s.id = n.id;

-- name: confirm_schedules
-- Record that the orchestrator knows these schedules or, with a job, that they have fired.
update schedules s
set heard_at = now()
from unnest($1::uuid[], $2::uuid[]) as n (id, job_id)
where s.id = n.id and s.heard_at is null and s.last_job_id is not distinct from n.job_id;

-- name: unheard_schedules
-- Schedules that were created or fired over $1 seconds ago and that the orchestrator has not confirmed since; at
-- most $2.
select id::text, target, next_run_at, last_run_at, last_job_id::text, traceparent
from schedules
where heard_at is null and coalesce(last_run_at, created_at) < now() - make_interval(secs => $1)
order by id
limit $2
for update skip locked;
