-- Schedules are found by their status and their name.
create index schedules_by_status on schedules (status, id);
create index schedules_by_name on schedules (name, id) where name is not null;
