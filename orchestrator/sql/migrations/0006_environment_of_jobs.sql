-- The environment that all tasks of a job have in common: the pipeline's, and over it the job's own. It is kept once;
-- `run` of a task has only what its step sets and the job does not, and is laid over it. Tasks of earlier jobs have all
-- of it in `run`.
alter table jobs add column env json not null default '{}';
