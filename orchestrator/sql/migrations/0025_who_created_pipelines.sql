-- Who created a pipeline, and each of its versions: `{"id", "name"}` of the token; null with access off. Pipelines are
-- few: they are filtered by it without an index.
alter table pipelines add column created_by json;
alter table pipeline_versions add column created_by json;

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
    'params', at.params,
    'timeout', at.timeout,
    'cleanup_timeout', at.cleanup_timeout,
    'concurrency_key', at.concurrency_key,
    'concurrency', at.concurrency,
    'created_by', pipeline.created_by,
    'created_at', rfc3339(pipeline.created_at),
    'updated_by', at.created_by,
    'updated_at', rfc3339(at.created_at)
);
