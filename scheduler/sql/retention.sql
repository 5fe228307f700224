-- name: scheduled_jobs
-- Those of these jobs that a schedule will run again.
select distinct s.job_id::text as id from schedules s
where s.job_id = any($1::uuid[]) and s.status not in ('completed', 'failed')
