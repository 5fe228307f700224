-- Hardly any job is told from the others by its priority, so that the index was never chosen, yet kept at every write.
drop index jobs_priority;
