-- The entries of a timeline's row, packed (orchestrator/store/timeline.py). Rows of before have them in `entries`.
alter table timeline add column packed bytea;
alter table timeline alter column packed set storage external, alter column entries drop not null;

-- Whether an approval waits for a decision. An index whose condition has the status of a task is one more to write
-- whenever the status changes, and prevents that PostgreSQL changes the row in place: then all the other indexes of the
-- table are written as well.
alter table tasks add column asked boolean
generated always as (case when approval is not null and status = 'running' then true end) stored;
drop index tasks_asked;
create index tasks_asked on tasks (id desc) where asked;

-- The room that each page keeps for changes in place. A tenth is enough, because the space of an old version is used
-- again as soon as no transaction can see it. Rows of jobs change in place only while their status stays.
alter table jobs set (fillfactor = 90);
alter table tasks set (fillfactor = 90);
alter table executions set (fillfactor = 90);
