-- A job's parameters as they are shown, read once for all of them: a page of a list shows those of a hundred jobs. The
-- rule is that of `shown_environment`.
create or replace function shown_params(params json) returns json
language sql stable parallel safe
return (
    select coalesce(
        json_object_agg(
            p.key,
            case
                when p.key ~* '(secret|token|passw|passphrase|credential|private|api_?key|access_?key|authorization|(^|_)(auth|pw|pwd|key)(_|$))'
                    then to_json('***'::text)
                when json_typeof(p.value) = 'string' and p.value #>> '{}' like '%://%'
                    then to_json(regexp_replace(p.value #>> '{}', '(://[^/:@ ]*:)[^/@ ]+@', '\1***@', 'g'))
                else p.value
            end
        ),
        '{}'::json
    )
    from json_each(params) p
);
