-- How often the priority of a job was changed: the scheduler follows the change with the highest number.
alter table jobs add column priority_changes integer not null default 0;
