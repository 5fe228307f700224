-- Jobs are found by the beginning of their names, by the time of their end, and by their parameters.
--
-- Names are compared by code point, which serves a whole name as well.
drop index jobs_name;
create index jobs_name on jobs (name text_pattern_ops, id desc);
create index jobs_finished on jobs (finished_at) where finished_at is not null;

-- The parameters by which a job may be found, their values as text. Those that look like secrets are left out, by the
-- rule of `shown_environment`: a search would tell whether a guess is right. An index has its results: a migration that
-- changes it has to make the index again.
create function searchable_params(params json) returns jsonb
language sql immutable parallel safe
return (
    select coalesce(jsonb_object_agg(p.key, p.value), '{}')
    from json_each_text(params) p
    where p.key !~* '(secret|token|passw|passphrase|credential|private|api_?key|access_?key|authorization|(^|_)(auth|pw|pwd|key)(_|$))'
        and p.value !~ '://[^/:@ ]*:[^/@ ]+@'
);
create index jobs_params on jobs using gin (searchable_params(params) jsonb_path_ops) where params::text <> '{}';
