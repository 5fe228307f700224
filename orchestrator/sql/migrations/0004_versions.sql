-- How often a job or anything of it was written, its making included: whoever writes must know the last version, be it
-- from under the job's lock or from memory.
alter table jobs add column version integer not null default 1;
