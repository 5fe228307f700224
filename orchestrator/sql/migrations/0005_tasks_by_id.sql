-- A task is asked for by its id alone when somebody wants to know why it waits. Ids ascend with time, so that the index
-- grows at one end and costs little.
create index tasks_id on tasks (id);
