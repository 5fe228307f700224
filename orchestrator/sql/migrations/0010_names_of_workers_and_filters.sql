-- An execution says what its worker was called, pipelines that are archived can be listed, and jobs by the time of their
-- creation. That a moment lies between others is not to be had from the ids: the id of a schedule's job is older than
-- the job, by as long as the orchestrator was away.
alter table executions add column worker_name text;
create index jobs_created on jobs (created_at);
create index pipelines_archived on pipelines (id desc) where archived_at is not null;
create index pipelines_archived_name on pipelines (name, id desc) where archived_at is not null;
