-- `shuns` are the workers on which earlier attempts of a task failed. `drained`: a drain was ordered, which lasts until
-- it is lifted; only REST writes it. `durable`: the worker keeps its id over restarts. `reserved_for`: the task that the
-- leader keeps the worker for.
alter table tasks add column shuns uuid[];
alter table workers
    add column drained boolean not null default false, add column durable boolean not null default false,
    add column reserved_for uuid;
update workers set drained = true where status = 'draining';
