-- A step has labels of its own, beside those of its job.
alter table tasks add column labels json not null default '{}';
