-- How many jobs have a parameter, so that PostgreSQL chooses between the newest jobs and the index: without this it takes
-- one in a hundred for each value, and reads the whole table for a value that no job has.
create statistics jobs_params_values on (searchable_params(params)) from jobs;
analyze jobs;
