-- A task of a step with a matrix has the values and its place, in the order written.
alter table tasks add column matrix json, add column index integer;
