-- The outputs of an execution as JSON, for a service that missed its outcome; null where it has none.
alter table executions add column outputs text;
