-- Firings: the result of each due time of a schedule. A firing's id is that of the job that it orders.

-- name: insert_firings
-- Write firings. Returns those written: for a due time that has one already, there is no second.
insert into firings (:firings.columns)
select :firings.values from unnest(:firings.arrays) as new (:firings.columns)
on conflict (schedule_id, due_at) do nothing
returning id::text;

-- name: waiting_firings
-- At most $1 firings that wait, the oldest first, locked together with their schedules.
select f.id::text, f.schedule_id::text, f.kind, f.due_at, f.triggered_by, s.target, s.traceparent, s.created_by
from firings f
join schedules s on s.id = f.schedule_id
where f.outcome = 'waiting'
order by f.id
limit $1
for update skip locked;

-- name: fire_waiting
-- Mark firings that waited as fired at $2.
update firings set outcome = 'fired', fired_at = $2 where id = any($1::uuid[]);

-- name: drop_waiting
-- The waiting firings of these schedules are missed, because of the reason $2.
update firings set outcome = 'missed', reason = $2 where schedule_id = any($1::uuid[]) and outcome = 'waiting';

-- name: prune_firings
-- Of each of these schedules keep the last $2 firings, and those that are under way.
delete from firings f
using unnest($1::uuid[]) as given (id),
      lateral (
          select kept.due_at
          from firings kept
          where kept.schedule_id = given.id
          order by kept.due_at desc
          offset $2 - 1
          limit 1
      ) as oldest
where f.schedule_id = given.id
  and f.due_at < oldest.due_at
  and f.outcome <> 'waiting'
  and (f.outcome <> 'fired' or f.finished_at is not null);

-- name: list_firings
-- A page of a schedule's firings, the last ones first, as JSON.
select json_build_object(
           'id', id, 'schedule_id', schedule_id, 'kind', kind, 'outcome', outcome, 'reason', reason, 'detail', detail,
           'due_at', rfc3339(due_at), 'first_due_at', rfc3339(first_due_at), 'count', count, 'more', more,
           'fired_at', rfc3339(fired_at),
           'job_id', case when outcome in ('fired', 'succeeded', 'failed', 'cancelled') then id end,
           'finished_at', rfc3339(finished_at), 'triggered_by', triggered_by)::text as body,
       rfc3339(due_at) as id
from firings
where schedule_id = $1::uuid
  and due_at < $2::timestamptz -- if given
order by firings.due_at desc
limit $3;

-- name: confirm_firings
-- Record that the orchestrator has created the jobs of these firings.
update firings set heard_at = now() where id = any($1::uuid[]) and heard_at is null;

-- name: finish_firings
-- Write how the jobs of firings ended.
update firings f
set outcome = new.outcome, reason = new.reason, finished_at = new.finished_at, heard_at = coalesce(heard_at, now())
from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[]) as new (id, outcome, reason, finished_at)
where f.id = new.id and f.outcome = 'fired';

-- name: refuse_firings
-- Write which firings the orchestrator has refused. Returns those that were not known as refused. A schedule that fires
-- once is not refused for want of room: its order is repeated until there is some.
update firings f
set outcome = new.outcome, reason = new.reason, detail = new.detail, heard_at = now()
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) as new (id, outcome, reason, detail)
where f.id = new.id
  and f.outcome = 'fired'
  and (new.reason <> 'overloaded'
       or f.kind = 'trigger'
       or exists (select from schedules s where s.id = f.schedule_id and s.catch_up is not null))
returning f.id::text, f.fired_at;

-- name: unheard_firings
-- Firings after $3 that were ordered over $1 seconds ago and that the orchestrator has not confirmed, at most $2.
select f.id::text, f.schedule_id::text, f.kind, f.due_at, f.triggered_by, s.target, s.traceparent, s.created_by
from firings f
join schedules s on s.id = f.schedule_id
where f.outcome = 'fired'
  and f.finished_at is null
  and f.heard_at is null
  and f.fired_at < now() - make_interval(secs => $1)
  and f.id > $3
order by f.id
limit $2;

-- name: open_firings
-- The jobs of confirmed firings after $3 that were ordered over $1 seconds ago and are not known to be over, at most $2.
select id::text
from firings
where outcome = 'fired'
  and finished_at is null
  and heard_at is not null
  and fired_at < now() - make_interval(secs => $1)
  and id > $3
order by firings.id
limit $2;

-- name: forget_firings
-- The jobs of these firings do not exist any more.
update firings
set finished_at = now(), detail = 'the job was deleted'
where id = any($1::uuid[]) and outcome = 'fired';
