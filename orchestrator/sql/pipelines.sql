-- name: insert_pipeline
-- Insert a new pipeline.
insert into pipelines (id, name, description, version, created_at, updated_at, created_by)
values ($1::uuid, $2, $3, 1, $4, $4, $5::text::json)

-- name: insert_pipeline_version
-- Insert a version of a pipeline.
insert into pipeline_versions (
    pipeline_id, version, name, description, steps, env, params, timeout, cleanup_timeout, created_at, concurrency_key,
    concurrency, created_by
)
values (
    $1::uuid, $2, $3, $4, $5::text::json, $6::text::json, $7::text::json, $8, $9, $10, $11, $12::text::json,
    $13::text::json
)

-- name: update_pipeline
-- Make the next version the current one. Returns its number, or no row when no active pipeline has this id.
update pipelines
set name = $2, description = $3, version = version + 1, updated_at = greatest($4, updated_at)
where id = $1::uuid and archived_at is null
returning version

-- name: archive_pipeline
-- Archive a pipeline. Returns no row when no active pipeline has this id.
update pipelines set archived_at = $2 where id = $1::uuid and archived_at is null
returning name, version

-- name: get_pipeline
-- One active pipeline as JSON.
select pipeline_json(p, v)::text
from pipelines p join pipeline_versions v on v.pipeline_id = p.id and v.version = p.version
where p.id = $1::uuid and p.archived_at is null

-- name: find_pipeline
-- The id of a pipeline, archived or not, if it exists.
select id::text from pipelines where id = $1::uuid

-- name: get_pipeline_version
-- A pipeline in one of its versions as JSON, archived or not.
select pipeline_json(p, v)::text
from pipelines p join pipeline_versions v on v.pipeline_id = p.id
where p.id = $1::uuid and v.version = $2

-- name: list_pipeline_versions
-- A page of a pipeline's versions as JSON, newest first.
select v.version::text as id, pipeline_json(p, v)::text as body
from pipelines p join pipeline_versions v on v.pipeline_id = p.id
where p.id = :pipeline_id::uuid
    and v.version < :before::integer -- if given
    and v.created_by ->> 'id' = :updated_by_id::text -- if given
    and v.created_by ->> 'name' = :updated_by_name::text -- if given
order by v.version desc
limit :limit

-- name: list_pipelines
-- A page of the active or of the archived pipelines as JSON, newest first.
select p.id::text as id, pipeline_json(p, v)::text as body
from pipelines p join pipeline_versions v on v.pipeline_id = p.id and v.version = p.version
where true
    and :active::boolean and p.archived_at is null -- if given
    and :archived::boolean and p.archived_at is not null -- if given
    and p.id < :before::uuid -- if given
    and p.name = :name::text -- if given
    and p.name ~>=~ :name_from::text -- if given
    and p.name ~<~ :name_to::text -- if given
    and p.version = :version::integer -- if given
    and p.created_by ->> 'id' = :created_by_id::text -- if given
    and p.created_by ->> 'name' = :created_by_name::text -- if given
    and v.created_by ->> 'id' = :updated_by_id::text -- if given
    and v.created_by ->> 'name' = :updated_by_name::text -- if given
order by p.id desc
limit :limit

-- name: pipelines_to_run
-- The definitions with which jobs of these pipelines would run now; archived pipelines are left out.
select p.id::text as id, p.name, p.version, v.steps, v.env, v.params, v.timeout, v.cleanup_timeout, v.concurrency_key,
    v.concurrency
from pipelines p join pipeline_versions v on v.pipeline_id = p.id and v.version = p.version
where p.id = any($1::uuid[]) and p.archived_at is null
