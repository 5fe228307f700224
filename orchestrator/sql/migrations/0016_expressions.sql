-- Whether a task's command has expressions. The commands of tasks that exist already run as they are.
alter table tasks add column expressions boolean not null default false;
