-- A task has the labels of its step; what waits is found by them.
alter table tasks add column labels jsonb not null default '{}';
