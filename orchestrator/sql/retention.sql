-- name: jobs_over_before
-- The oldest jobs of a status after an id that ended before a moment, each with the ids of its executions whose logs may be kept.
select
    j.id::text as id,
    array(
        select x.id::text from executions x
        where x.job_id = j.id and coalesce(x.finished_at, j.finished_at) >= :logs_since::timestamptz
    ) as executions
from jobs j
where j.status = :status::text and j.finished_at < :before::timestamptz and j.id < :below::uuid
    and j.id > :after::uuid
    and j.labels @> :labels::jsonb and j.labels <> '{}' -- if given
order by j.id
limit :limit

-- name: executions_with_logs
-- The executions of jobs whose logs may be kept: those that did not end before a moment.
select x.id::text as id
from executions x join jobs j on j.id = x.job_id
where x.job_id = any($1::uuid[]) and coalesce(x.finished_at, j.finished_at) >= $2::timestamptz

-- name: count_jobs_over_before
-- The number of jobs of a status that ended before a moment, up to a limit.
select count(*)::integer
from (
    select from jobs j
    where j.status = :status::text and j.finished_at < :before::timestamptz and j.id < :below::uuid
        and j.labels @> :labels::jsonb and j.labels <> '{}' -- if given
    limit :limit
) counted

-- name: newest_jobs_over
-- Count at most $2 jobs that have ended, the newest first, below an id. Returns the count and the lowest of their ids.
with newest as (
    select over.id
    from (
        (select id from jobs where status = 'succeeded' and id < $1::uuid order by jobs.id desc limit $2)
        union all
        (select id from jobs where status = 'failed' and id < $1::uuid order by jobs.id desc limit $2)
        union all
        (select id from jobs where status = 'cancelled' and id < $1::uuid order by jobs.id desc limit $2)
    ) over
    order by over.id desc
    limit $2
)
select count(*)::integer as count, (select n.id::text from newest n order by n.id limit 1) as lowest from newest

-- name: jobs_to_purge
-- A page of jobs in the order of their ids, between two ids, each with the number of its tasks if it is due: it ended
-- before a moment ($3) or its id is below another ($4), and its pipeline has enough newer jobs ($5) or is archived.
select
    p.id::text as id, p.finished_at, d.due,
    case when d.due then (select count(*) from tasks t where t.job_id = p.id) else 0 end::integer as tasks
from (
    select id, pipeline_id, finished_at
    from jobs
    where id > $1::uuid and id < $2::uuid
    order by jobs.id
    limit $6
) p
cross join lateral (
    select p.finished_at is not null
        and (p.finished_at < $3::timestamptz or p.id < $4::uuid)
        and (
            p.pipeline_id is null
            or exists (
                select from jobs n
                where n.pipeline_id = p.pipeline_id and n.id > p.id
                order by n.id desc
                offset $5 - 1 limit 1
            )
            or (select 1 from pipelines a where a.id = p.pipeline_id and a.archived_at is not null) is not null
        ) as due
) d
order by p.id

-- name: oldest_job_over
-- The end of the first job after an id that has ended, among the next $2 jobs.
select min(finished_at) from (select finished_at from jobs where id > $1::uuid order by jobs.id limit $2) next

-- name: timelines_to_purge
-- A page of jobs in the order of their ids, between two ids, each with whether it ended before a moment and still has
-- its timeline.
select
    p.id::text as id,
    p.finished_at < $3::timestamptz and (select 1 from timeline t where t.job_id = p.id limit 1) is not null as due
from (
    select id, finished_at from jobs where id > $1::uuid and id < $2::uuid order by jobs.id limit $4
) p
order by p.id

-- name: lock_jobs_to_delete
-- Lock those of these jobs that have ended.
select id::text as id from jobs where id = any($1::uuid[]) and finished_at is not null order by jobs.id for update

-- name: lock_jobs_to_purge
-- Lock those of these jobs that have ended, except those that another transaction has locked.
select id::text as id from jobs where id = any($1::uuid[]) and finished_at is not null
order by jobs.id
for update skip locked

-- name: delete_jobs
-- Delete jobs that have ended, with their tasks, executions and timelines. Note those of schedules that are younger
-- than $2: the events of their firings may come again.
with firings as (
    insert into deleted_firings (job_id)
    select id from jobs where id = any($1::uuid[]) and schedule_id is not null and created_at > now() - $2::interval
    on conflict do nothing
),
changes as (
    insert into job_changes (deleted, succeeded, failed, cancelled)
    select
        true, -count(*) filter (where status = 'succeeded'), -count(*) filter (where status = 'failed'),
        -count(*) filter (where status = 'cancelled')
    from jobs
    where id = any($1::uuid[])
),
tasks_of_them as (
    delete from tasks where job_id = any($1::uuid[])
),
executions_of_them as (
    delete from executions where job_id = any($1::uuid[])
),
timelines as (
    delete from timeline where job_id = any($1::uuid[])
)
delete from jobs where id = any($1::uuid[])

-- name: delete_timelines
-- Delete the timelines of jobs.
delete from timeline where job_id = any($1::uuid[])

-- name: missing_jobs
-- Those of these ids that no job has.
select asked.id::text as id from unnest($1::uuid[]) as asked (id)
where not exists (select from jobs j where j.id = asked.id)

-- name: expired_timeline
-- The only entry of a timeline that is no longer kept, as JSON. No row while the job runs or its timeline is kept.
select json_build_object(
    'id', '0.0', 'type', 'timeline.expired', 'time', rfc3339(j.finished_at), 'data', json_build_object('job_id', j.id)
)::text as body
from jobs j
where j.id = $1::uuid and j.finished_at is not null and not exists (select from timeline t where t.job_id = j.id)

-- name: superseded_versions
-- A page of versions in the order of (pipeline, version) after one, each with whether a later version was made before a
-- moment.
select
    p.pipeline_id::text as pipeline_id, p.version,
    coalesce(
        (
            select n.created_at from pipeline_versions n
            where n.pipeline_id = p.pipeline_id and n.version > p.version
            order by n.version
            limit 1
        ) < $3::timestamptz,
        false
    ) as due
from (
    select pipeline_id, version from pipeline_versions
    where (pipeline_id, version) > ($1::uuid, $2::integer)
    order by pipeline_versions.pipeline_id, pipeline_versions.version
    limit $4
) p
order by p.pipeline_id, p.version

-- name: versions_of_jobs
-- The versions that at most $3 jobs of a pipeline name, the newest below an id first, the number of these jobs, and the
-- lowest of their ids.
with page as (
    select id, pipeline_version from jobs where pipeline_id = $1::uuid and id < $2::uuid order by jobs.id desc limit $3
)
select
    array(select distinct pipeline_version from page) as versions, (select count(*)::integer from page) as count,
    (select p.id::text from page p order by p.id limit 1) as lowest

-- name: delete_versions
-- Delete versions of a pipeline that are not its last one.
delete from pipeline_versions v
where v.pipeline_id = $1::uuid and v.version = any($2::integer[])
    and exists (select from pipeline_versions n where n.pipeline_id = v.pipeline_id and n.version > v.version)

-- name: archived_pipelines
-- A page of archived pipelines in the order of their ids after one, each with whether it was archived before a moment
-- and has no jobs.
select
    p.id::text as id,
    p.archived_at < $2::timestamptz and (select 1 from jobs j where j.pipeline_id = p.id limit 1) is null as due
from (
    select id, archived_at from pipelines
    where archived_at is not null and id > $1::uuid
    order by pipelines.id
    limit $3
) p
order by p.id

-- name: delete_pipelines
-- Delete archived pipelines with their versions.
with versions as (
    delete from pipeline_versions where pipeline_id = any($1::uuid[])
)
delete from pipelines where id = any($1::uuid[]) and archived_at is not null
