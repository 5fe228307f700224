-- The report that ended an attempt, packed (scheduler/store/reports.py). Rows of before have it in `report` until they
-- are purged, a day after their end.
alter table tasks add column packed_report bytea;
alter table tasks alter column packed_report set storage external;
-- An attempt's status is in the indexes, so its row never changes in place, and room for that on each page is wasted.
-- A day's rows are kept. By default, a fifth of them would have to change before a vacuum frees the space of old
-- versions, of which each attempt leaves one.
alter table tasks set (
    fillfactor = 100,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);
