-- What was reported of an attempt that is over, as the event's data in JSON: told again to a service that missed it.
alter table tasks add column report text;
-- Since when it is known that the orchestrator has heard of a schedule, or of its firing; null until then.
alter table schedules add column heard_at timestamptz;
update schedules set heard_at = now();
create index schedules_unheard on schedules (id) where heard_at is null;
