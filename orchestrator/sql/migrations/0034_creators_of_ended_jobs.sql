-- The indexes by creator have only jobs that have ended. Before, each version of a job's row had an entry in both: six for
-- a job, of which four were soon dead. Jobs that have not ended are found by their status (docs/adr/0035).
drop index jobs_created_by_id;
drop index jobs_created_by_name;
create index jobs_created_by_id on jobs ((created_by ->> 'id'), id desc)
    where created_by is not null and status in ('succeeded', 'failed', 'cancelled');
create index jobs_created_by_name on jobs ((created_by ->> 'name'), id desc)
    where created_by is not null and status in ('succeeded', 'failed', 'cancelled');
