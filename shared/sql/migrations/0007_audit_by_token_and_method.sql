-- The audit log is found by its tokens and methods, too, and refusals by their kind. Most calls are a POST that changed
-- something: the indexes by method and by outcome leave them out.
create index audit_by_token_id on audit (token_id, id) where token_id is not null;
create index audit_by_token_name on audit (token_name, id) where token_name is not null;
create index audit_by_method on audit (method, id) where method <> 'POST';
drop index audit_refused;
create index audit_refused on audit (outcome, id) where outcome <> 'changed';
