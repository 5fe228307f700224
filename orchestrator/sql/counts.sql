-- name: note_job_changes
-- Note how a transaction changes the numbers of jobs: those that it creates, and the differences by status.
with job_changes_noted as (
    insert into job_changes (created, pending, running, succeeded, failed, cancelled) values ($1, $2, $3, $4, $5, $6)
)
select true as job_changes_noted

-- name: count_jobs
-- How many jobs have each status.
select
    c.pending + coalesce(d.pending, 0) as pending, c.running + coalesce(d.running, 0) as running,
    c.succeeded + coalesce(d.succeeded, 0) as succeeded, c.failed + coalesce(d.failed, 0) as failed,
    c.cancelled + coalesce(d.cancelled, 0) as cancelled
from job_counts c
cross join (
    select
        sum(pending) as pending, sum(running) as running, sum(succeeded) as succeeded, sum(failed) as failed,
        sum(cancelled) as cancelled
    from job_changes
) d

-- name: job_throughput
-- How many jobs were created and ended in each span of $2 from the one that has the moment $1, as a JSON array.
with flow as (
    select minute as at, created, succeeded, failed, cancelled from job_minutes
    where minute >= date_bin($2::interval, $1::timestamptz, 'epoch')
    union all
    select at, created, succeeded, failed, cancelled from job_changes
    where not deleted and at >= date_bin($2::interval, $1::timestamptz, 'epoch')
),
sums as (
    select
        date_bin($2::interval, at, 'epoch') as at, sum(created) as created, sum(succeeded) as succeeded,
        sum(failed) as failed, sum(cancelled) as cancelled
    from flow
    group by 1
)
select coalesce(
    json_agg(
        json_build_object(
            'at', rfc3339(span.at), 'created', coalesce(s.created, 0), 'succeeded', coalesce(s.succeeded, 0),
            'failed', coalesce(s.failed, 0), 'cancelled', coalesce(s.cancelled, 0)
        )
        order by span.at
    ),
    '[]'
)::text
from generate_series(date_bin($2::interval, $1::timestamptz, 'epoch'), now(), $2::interval) as span (at)
left join sums s on s.at = span.at

-- name: any_job_changes
-- Whether there are changes to add up.
select exists (select from job_changes)

-- name: lock_job_counts
-- Let no other process add up changes until the end of the transaction. No row while one does.
select true from job_counts for update skip locked

-- name: compact_job_changes
-- Add up to $1 changes to the numbers, and delete them. Returns how many.
with taken as (
    delete from job_changes where ctid = any (array(select ctid from job_changes limit $1))
    returning at, deleted, created, pending, running, succeeded, failed, cancelled
),
totals as (
    update job_counts c
    set pending = c.pending + t.pending, running = c.running + t.running, succeeded = c.succeeded + t.succeeded,
        failed = c.failed + t.failed, cancelled = c.cancelled + t.cancelled
    from (
        select
            sum(pending) as pending, sum(running) as running, sum(succeeded) as succeeded, sum(failed) as failed,
            sum(cancelled) as cancelled
        from taken
        having count(*) > 0
    ) t
),
minutes as (
    insert into job_minutes as m (minute, created, succeeded, failed, cancelled)
    select date_trunc('minute', at), sum(created), sum(succeeded), sum(failed), sum(cancelled)
    from taken
    where not deleted
    group by 1
    on conflict (minute) do update
    set created = m.created + excluded.created, succeeded = m.succeeded + excluded.succeeded,
        failed = m.failed + excluded.failed, cancelled = m.cancelled + excluded.cancelled
)
select count(*)::integer from taken

-- name: recount_jobs
-- Count the jobs, whatever was noted. Run it after all changes that can be seen were added up, under the same lock.
with gone as (
    delete from job_changes
    returning at, deleted, created, succeeded, failed, cancelled
),
totals as (
    update job_counts
    set pending = n.pending, running = n.running, succeeded = n.succeeded, failed = n.failed, cancelled = n.cancelled
    from (
        select
            count(*) filter (where status = 'pending') as pending, count(*) filter (where status = 'running') as running,
            count(*) filter (where status = 'succeeded') as succeeded, count(*) filter (where status = 'failed') as failed,
            count(*) filter (where status = 'cancelled') as cancelled
        from jobs
    ) n
),
minutes as (
    insert into job_minutes as m (minute, created, succeeded, failed, cancelled)
    select date_trunc('minute', at), sum(created), sum(succeeded), sum(failed), sum(cancelled)
    from gone
    where not deleted
    group by 1
    on conflict (minute) do update
    set created = m.created + excluded.created, succeeded = m.succeeded + excluded.succeeded,
        failed = m.failed + excluded.failed, cancelled = m.cancelled + excluded.cancelled
)
select true

-- name: purge_job_minutes
-- Delete up to $2 minutes that are older than $1.
delete from job_minutes
where minute in (select minute from job_minutes where minute < now() - $1::interval order by job_minutes.minute limit $2)

-- name: pipeline_statistics
-- The last $2 runs of a pipeline, the newest first, with what can be said of those that ended, as JSON; null without the
-- pipeline.
with runs as (
    select
        id, status, reason, created_at, started_at, finished_at,
        extract(epoch from finished_at - started_at)::float8 as duration
    from jobs
    where pipeline_id = $1::uuid
    order by jobs.id desc
    limit $2
),
sums as (
    select
        count(*) filter (where finished_at is not null) as counted,
        count(*) filter (where status = 'succeeded') as succeeded,
        count(*) filter (where status in ('succeeded', 'failed')) as decided,
        avg(duration) filter (where status = 'succeeded') as mean,
        percentile_cont(0.95) within group (order by duration) filter (where status = 'succeeded') as p95
    from runs
)
select json_build_object(
    'pipeline_id', p.id,
    'runs', (
        select coalesce(
            json_agg(
                json_build_object(
                    'id', r.id, 'status', r.status, 'reason', r.reason, 'created_at', rfc3339(r.created_at),
                    'started_at', rfc3339(r.started_at), 'finished_at', rfc3339(r.finished_at), 'duration', r.duration
                )
                order by r.id desc
            ),
            '[]'
        )
        from runs r
    ),
    'counted', s.counted,
    'success_rate', s.succeeded::float8 / nullif(s.decided, 0),
    'mean', s.mean,
    'p95', s.p95
)::text
from pipelines p cross join sums s
where p.id = $1::uuid
