-- A job gets into the indexes by its creator when it ends. Before, each version of its row had an entry in both: six for a
-- job, of which four were soon dead. Jobs that have not ended are found by their status (list_jobs).
drop index jobs_created_by_id;
drop index jobs_created_by_name;
create index jobs_created_by_id on jobs ((created_by ->> 'id'), id desc)
    where created_by is not null and status in ('succeeded', 'failed', 'cancelled');
create index jobs_created_by_name on jobs ((created_by ->> 'name'), id desc)
    where created_by is not null and status in ('succeeded', 'failed', 'cancelled');
