-- Firings of schedules whose jobs were refused, or deleted: when the event comes again, it makes no job.

-- name: get_refusal
-- Why the job of a firing was refused, as the data of an event.
select refusal from refused_firings where job_id = $1::uuid

-- name: was_deleted
-- Whether the job of a firing was made and has been deleted.
select exists (select from deleted_firings where job_id = $1::uuid)

-- name: keep_refusal
-- Note that the job of a firing was refused; the first refusal holds.
insert into refused_firings (job_id, refusal) values ($1::uuid, $2) on conflict do nothing

-- name: purge_refusals
-- Delete a bounded number of refusals that are older than any firing whose event may still come again.
delete from refused_firings
where job_id in (
    select job_id from refused_firings where refused_at < $1 order by refused_at limit $2
)

-- name: purge_deleted_firings
-- Delete a bounded number of notes of deleted jobs, for firings whose events cannot come again.
delete from deleted_firings
where job_id in (
    select job_id from deleted_firings where deleted_at < $1 order by deleted_at limit $2
)
