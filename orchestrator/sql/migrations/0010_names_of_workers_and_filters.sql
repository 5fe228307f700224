-- Executions carry the name of their worker; archived pipelines can be listed, and jobs by the time of their creation.
-- The ids do not say when a job was created: a schedule chooses the id of its job when it fires, which the orchestrator
-- may hear of much later.
alter table executions add column worker_name text;
create index jobs_created on jobs (created_at);
create index pipelines_archived on pipelines (id desc) where archived_at is not null;
create index pipelines_archived_name on pipelines (name, id desc) where archived_at is not null;
-- Most jobs have the normal priority and succeed: the indexes leave them out, so that their writes cost no more.
create index jobs_priority on jobs (priority, id desc) where priority <> 'normal';
create index jobs_reason on jobs (reason, id desc) where reason is not null;
-- The version is compared within the index, which is still in the order of the ids.
drop index jobs_pipeline;
create index jobs_pipeline on jobs (pipeline_id, id desc, pipeline_version) where pipeline_id is not null;
