-- Concurrency keys: the key of a job, what it means for that job, and the claims of jobs that are not over.
alter table jobs
    add column concurrency_key text,
    add column key_template text, -- the key as it was written, for reruns with other parameters
    add column concurrency json,
    add column claim text; -- waiting or held; it stays as it was when the job ends
create index jobs_concurrency_key on jobs (concurrency_key, id desc) where concurrency_key is not null;

alter table pipeline_versions
    add column concurrency_key text,
    add column concurrency json;

-- One row for each key that a job claims, until the job ends. Rows come and go, so that the table stays small.
create table claims (
    job_id uuid not null,
    space text not null, -- key: chosen by a user; schedule: the key is the id of the job's schedule
    key text not null,
    slot_limit integer not null,
    when_full text not null,
    rank smallint not null, -- of the job's priority
    since timestamptz not null, -- when it arrives at the key: when it was created, or at its run_at
    arrived boolean not null,
    held_at timestamptz,
    superseded_by uuid, -- the job for which this one has to be cancelled
    primary key (job_id, space)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
create index claims_held on claims (space, key, since) where held_at is not null;
create index claims_waiting on claims (space, key, rank desc, since, job_id) where held_at is null;
create index claims_limits on claims (space, key, slot_limit) where held_at is null;
create index claims_to_arrive on claims (since) where not arrived;
create index claims_superseded on claims (job_id) where superseded_by is not null;

create or replace function job_json(job jobs) returns json
language sql stable parallel safe
return json_build_object(
    'id', job.id,
    'name', job.name,
    'status', job.status,
    'reason', job.reason,
    'detail', job.detail,
    'pipeline_id', job.pipeline_id,
    'pipeline_version', job.pipeline_version,
    'priority', job.priority,
    'params', case when job.params::text = '{}' then job.params else shown_params(job.params) end,
    'labels', job.labels,
    'run_at', rfc3339(job.run_at),
    'rerun_of', job.rerun_of,
    'schedule_id', job.schedule_id,
    'concurrency_key', job.concurrency_key,
    'concurrency', job.concurrency,
    'waiting_for', case
        when job.claim = 'waiting' and job.finished_at is null and coalesce(job.run_at <= now(), true)
            then 'the concurrency key ' || job.concurrency_key
    end,
    'created_at', rfc3339(job.created_at),
    'started_at', rfc3339(job.started_at),
    'finished_at', rfc3339(job.finished_at)
);

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
    'params', at.params,
    'timeout', at.timeout,
    'cleanup_timeout', at.cleanup_timeout,
    'concurrency_key', at.concurrency_key,
    'concurrency', at.concurrency,
    'created_at', rfc3339(pipeline.created_at),
    'updated_at', rfc3339(at.created_at)
);

-- Whether a job that claims a second key waits for that as well, or is to be cancelled.
create function kept_out(claim claims) returns boolean
language sql stable parallel safe
return exists (
    select from claims o
    where
        o.job_id = claim.job_id and o.space <> claim.space
        and (
            o.superseded_by is not null
            or o.slot_limit <= (
                select count(*) from claims h where h.space = o.space and h.key = o.key and h.held_at is not null
            )
        )
);
