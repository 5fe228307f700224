-- The tokens that expired last are found without reading all of them, and entries of the audit log about what has no UUID,
-- such as a dead letter.
create index tokens_by_expiry on tokens (expires_at) where revoked_at is null and expires_at is not null;
create index audit_by_name on audit (name, id) where name is not null;
