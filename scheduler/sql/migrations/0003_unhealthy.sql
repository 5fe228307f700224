-- A worker on which no command can start says so, and why.
alter table workers drop constraint workers_status_check;
alter table workers add constraint workers_status_check
check (status in ('online', 'draining', 'unhealthy', 'offline'));
alter table workers add column reason text;
