-- What a requested execution is to run (schemas.events.JobTarget as JSON), so that the request can be published again.
-- Kept only until the execution has a worker or is over: it may hold secrets.
alter table executions add column request text;
