-- Firings of schedules whose jobs were refused: a firing whose event comes again is not accepted later.

-- name: get_refusal
-- Why the job of a firing was refused, as the data of an event.
select refusal from refused_firings where job_id = $1::uuid

-- name: keep_refusal
-- Note that the job of a firing was refused; the first refusal holds.
insert into refused_firings (job_id, refusal) values ($1::uuid, $2) on conflict do nothing

-- name: purge_refusals
-- Delete a bounded number of refusals that are older than any firing whose event may still come again.
delete from refused_firings
where job_id in (
    select job_id from refused_firings where refused_at < $1 order by refused_at limit $2
)
