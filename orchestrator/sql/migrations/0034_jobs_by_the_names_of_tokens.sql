-- The jobs of a token are found by its id alone: a name is looked up among the tokens. An index by name cost each job six
-- more entries, with its two changes of status.
drop index jobs_created_by_name;
drop index jobs_cancelled_by_name;
drop statistics jobs_created_by_names;
drop statistics jobs_cancelled_by_names;
create index tokens_by_name on tokens (name);
