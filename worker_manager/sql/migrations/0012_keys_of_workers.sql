-- A key belongs to one worker: a revocation is of a key, and may not hit another one. Of several workers with the same key,
-- which no release allowed, the first keeps it.
delete from enrolments e using enrolments f
where e.user_key = f.user_key and (e.enrolled_at, e.worker_id) > (f.enrolled_at, f.worker_id);
create unique index enrolments_by_key on enrolments (user_key);
create index join_tokens_by_key on join_tokens (user_key);
create index credentials_by_key on credentials (user_key);
