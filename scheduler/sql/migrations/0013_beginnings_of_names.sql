-- Schedules are found by the beginning of their names, which are compared by code point.
drop index schedules_by_name;
create index schedules_by_name on schedules (name text_pattern_ops, id) where name is not null;
