-- Executions are found by the reason for which they did not succeed; most have none.
create index executions_reason on executions (reason, id desc) where reason is not null;
