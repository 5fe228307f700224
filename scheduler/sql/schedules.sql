-- Schedules: jobs that are created at given times. Their firings are in firings.sql.

-- name: insert_schedule
-- Insert a schedule.
insert into schedules (
    id, created_at, created_by, traceparent, status, name, target, shown, job_id, pipeline_id, run_at, cron, timezone, every, anchor,
    starts_at, ends_at, jitter, catch_up, catch_up_limit, description, next_due_at, next_run_at)
values (
    :id, :created_at, :created_by, :traceparent, :status, :name, :target, :shown, :job_id, :pipeline_id, :run_at, :cron, :timezone,
    :every, :anchor, :starts_at, :ends_at, :jitter, :catch_up, :catch_up_limit, :description, :next_due_at,
    :next_run_at);

-- name: change_schedule
-- Write a schedule that was changed. `unheard`: the orchestrator has to confirm what it runs.
update schedules
set status = :status, name = :name, target = :target, shown = :shown, job_id = :job_id, pipeline_id = :pipeline_id,
    run_at = :run_at, cron = :cron, timezone = :timezone, every = :every, anchor = :anchor, starts_at = :starts_at,
    ends_at = :ends_at, jitter = :jitter, catch_up = :catch_up, catch_up_limit = :catch_up_limit,
    description = :description, next_due_at = :next_due_at, next_run_at = :next_run_at, changed_at = :changed_at,
    last_error = case when status = 'failed' and :status <> 'failed' then null else last_error end,
    heard_at = case when :unheard then null else heard_at end
where id = :id;

-- name: lock_schedule
-- One schedule, locked, as it is changed or triggered.
select id::text, created_at, created_by, traceparent, status, target, run_at, cron, timezone, every, anchor, starts_at, ends_at,
       jitter, catch_up, catch_up_limit, next_due_at, next_run_at, last_due_at, changed_at, false as waiting
from schedules
where id = $1
for update;

-- name: read_schedule
-- The same without a lock.
select id::text, created_at, created_by, traceparent, status, target, run_at, cron, timezone, every, anchor, starts_at, ends_at,
       jitter, catch_up, catch_up_limit, next_due_at, next_run_at, last_due_at, changed_at, false as waiting
from schedules
where id = $1;

-- name: list_schedules
-- A page of schedules, newest first, as JSON.
select schedule_json(schedules) as body, id::text
from schedules
where true
  and id < :before::uuid -- if given
  and status = :status::text -- if given
  and job_id = :job_id::uuid -- if given
  and pipeline_id = :pipeline_id::uuid -- if given
  and name = :name::text -- if given
  and name ~>=~ :name_from::text -- if given
  and name ~<~ :name_to::text -- if given
  and created_by->>'id' = :created_by_id::text -- if given
  and created_by->>'name' = :created_by_name::text -- if given
order by schedules.id desc
limit :limit;

-- name: get_schedule
-- One schedule as JSON.
select schedule_json(schedules) from schedules where id = $1;

-- name: delete_schedule
-- Delete a schedule and its history, whether it has fired or not.
delete from schedules where id = $1;

-- name: due_schedules
-- Schedules that are due at $1, locked so that no other transaction fires them. `waiting`: it has firings that wait.
select id::text, created_at, created_by, traceparent, status, target, run_at, cron, timezone, every, anchor, starts_at, ends_at,
       jitter, catch_up, catch_up_limit, next_due_at, next_run_at, last_due_at, changed_at,
       exists (select from firings f where f.schedule_id = schedules.id and f.outcome = 'waiting') as waiting
from schedules
where next_run_at <= $1
order by next_run_at
limit $2
for update skip locked;

-- name: advance_schedules
-- Write what has fired, or was missed, of these schedules, and when they are due next.
update schedules s
set status = new.status, next_due_at = new.next_due_at, next_run_at = new.next_run_at, last_due_at = new.last_due_at,
    missed = s.missed + new.missed
from unnest(:schedules.arrays) as new (:schedules.columns)
where s.id = new.id;

-- name: fail_schedules
-- Mark schedules as failed that cannot fire any more, each with the reason in words.
update schedules s
set status = 'failed', last_due_at = coalesce(s.next_due_at, s.last_due_at), next_due_at = null, next_run_at = null,
    last_error = new.detail
from unnest($1::uuid[], $2::text[]) as new (id, detail)
where s.id = new.id;

-- name: mark_fired
-- Record that these schedules have fired at $3, each with the job that it ordered.
update schedules s
set last_run_at = $3, last_job_id = new.job_id, last_error = null
from unnest($1::uuid[], $2::uuid[]) as new (id, job_id)
where s.id = new.id;

-- name: next_due
-- When the next schedule fires, and how many firings wait (at most 100,000 are counted).
select (select min(next_run_at) from schedules where next_run_at is not null) as next_run_at,
       (select count(*) from (select from firings where outcome = 'waiting' limit 100000) as waiting) as waiting;

-- name: lock_schedules
-- Lock schedules, in the order of their ids, before their firings are changed.
select id::text from schedules where id = any($1::uuid[]) order by schedules.id for update;

-- name: confirm_schedules
-- Record that the orchestrator knows what these schedules run.
update schedules set heard_at = now() where id = any($1::uuid[]) and heard_at is null;

-- name: refuse_schedules
-- Mark new schedules whose target does not exist or cannot run. Returns those that can fire no more.
update schedules s
set status = 'failed', next_due_at = null, next_run_at = null, last_error = new.detail, heard_at = now()
from unnest($1::uuid[], $2::text[]) as new (id, detail)
where s.id = new.id and s.heard_at is null
returning s.id::text, new.detail;

-- name: refuse_fired_schedules
-- Note that firings of schedules were refused, for reasons and at times of firing. A recurring schedule fires on, unless
-- what it runs is gone ($4); one that was changed since the firing fires on in any case. Returns those that fire no more.
with refused as (
    select s.id, new.detail, new.gone,
           s.catch_up is null or new.reason <> 'overlap' as is_error,
           (new.gone or (s.catch_up is null and s.next_run_at is null)) and coalesce(s.changed_at <= new.fired_at, true)
               as fails
    from unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[], $5::timestamptz[])
        as new (id, detail, reason, gone, fired_at)
    join schedules s on s.id = new.id
)
update schedules s
set status = case when refused.fails then 'failed' else s.status end,
    next_due_at = case when not refused.fails then s.next_due_at end,
    next_run_at = case when not refused.fails then s.next_run_at end,
    last_error = case when refused.is_error then refused.detail else s.last_error end,
    last_job_id = (
        select f.id
        from firings f
        where f.schedule_id = s.id and f.outcome in ('fired', 'succeeded', 'failed', 'cancelled')
        order by f.due_at desc
        limit 1)
from refused
where s.id = refused.id
returning s.id::text, refused.detail, refused.fails;

-- name: unheard_schedules
-- Schedules that were created or changed over $1 seconds ago and whose target the orchestrator has not confirmed; at
-- most $2.
select id::text, target, next_run_at, traceparent, created_by
from schedules
where heard_at is null
  and status not in ('completed', 'failed')
  and coalesce(changed_at, created_at) < now() - make_interval(secs => $1)
order by id
limit $2
for update skip locked;

-- name: purge_schedules
-- Delete at most $3 schedules that are over and that fired last before $1; those made after $1 have ids from $2 on. A
-- schedule that recurs and has failed may come back. Returns their ids.
delete from schedules
where id in (
    select id
    from schedules
    where id < $2::uuid
      and status in ('completed', 'failed')
      and (status = 'completed' or catch_up is null)
      and coalesce(last_run_at, changed_at, created_at) < $1
    order by schedules.id
    limit $3
    for update skip locked)
returning id::text;
