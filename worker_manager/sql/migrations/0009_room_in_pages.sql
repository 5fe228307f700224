-- An execution's status is in an index, so its row never changes in place, and room for that on each page is wasted.
-- By default, a fifth of all rows would have to change before a vacuum frees the space of old versions.
alter table executions set (
    fillfactor = 100,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);
