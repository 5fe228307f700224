-- A job answers with what it ran, and a pipeline with each of its versions.
alter table pipeline_versions add column name text, add column description text;
update pipeline_versions v set name = p.name, description = p.description from pipelines p where p.id = v.pipeline_id;
alter table pipeline_versions alter column name set not null;

-- A pipeline at one of its versions as it is answered.
create or replace function pipeline_json(pipeline pipelines, at pipeline_versions) returns json
language sql stable parallel safe
return json_build_object(
    'id', pipeline.id,
    'name', at.name,
    'description', at.description,
    'status', case when pipeline.archived_at is null then 'active' else 'archived' end,
    'version', at.version,
    'steps', at.steps,
    'env', at.env,
    'timeout', at.timeout,
    'created_at', rfc3339(pipeline.created_at),
    'updated_at', rfc3339(at.created_at)
);

-- An environment as readers of a job see it: without the values that look like secrets (orchestrator/domain/masking.py).
create function shown_environment(env json) returns json
language sql stable parallel safe
return (
    select coalesce(
        json_object_agg(
            e.key,
            case
                when e.key ~* '(secret|token|passw|passphrase|credential|private|api_?key|access_?key|authorization|(^|_)(auth|pw|pwd|key)(_|$))'
                    then '***'
                else regexp_replace(e.value, '(://[^/:@ ]*:)[^/@ ]+@', '\1***@', 'g')
            end
        ),
        '{}'::json
    )
    from json_each_text(env) e
);
