-- The outputs of a task's last attempt, by name; null where it has none.
alter table tasks add column outputs json;
