-- Retention deletes timelines as fast as new ones are written. By default, a fifth of them would have to be dead before
-- a vacuum frees their space.
alter table timeline set (autovacuum_vacuum_scale_factor = 0.05);
