-- The trace that an attempt, or what a schedule fires, belongs to (a W3C traceparent).
alter table tasks add column traceparent text;
alter table schedules add column traceparent text;
