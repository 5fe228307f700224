-- name: insert_claims
-- Insert the claims of new jobs.
with claims_made as (
    insert into claims (:claims.columns)
    select :claims.values from unnest(:claims.arrays) as new (:claims.columns)
)
select null as claims_made

-- name: free_claims
-- Delete the claims of jobs that end.
with claims_freed as (
    delete from claims
    where job_id in (
        select job_id from claims where job_id = any($1::uuid[]) order by job_id, space for update
    )
)
select null as claims_freed

-- name: lock_keys
-- Keep other transactions from giving keys away until this one ends. Keys share 256 locks, given in ascending order.
select pg_advisory_xact_lock(hashtext('hodei:keys:' || current_schema()), bucket) from unnest($1::integer[]) as bucket

-- name: existing_jobs
-- Those of these jobs that exist.
select id::text as id from jobs where id = any($1::uuid[])

-- name: lines
-- The state of keys as an arriving job finds it. Run it under their locks.
select
    k.space, k.key, held.holding, held.staying + waits.staying as staying, waits.ready, waits.waiting, held.holders
from unnest($1::text[], $2::text[]) as k (space, key)
cross join lateral (
    select
        count(*)::integer as holding,
        (count(*) filter (where j.stopping is null and c.superseded_by is null))::integer as staying,
        array(
            select json_build_array(h.job_id, hj.name)
            from claims h join jobs hj on hj.id = h.job_id
            where h.space = k.space and h.key = k.key and h.held_at is not null
            order by h.since, h.job_id
            limit $3
        ) as holders
    from claims c join jobs j on j.id = c.job_id
    where c.space = k.space and c.key = k.key and c.held_at is not null
) held
cross join lateral (
    select
        count(*)::integer as waiting,
        (count(*) filter (where c.arrived and c.superseded_by is null))::integer as staying,
        (count(*) filter (
            where c.arrived and c.superseded_by is null and c.slot_limit > held.holding and not kept_out(c)
        ))::integer as ready
    from claims c
    where c.space = k.space and c.key = k.key and c.held_at is null
) waits

-- name: oldest_jobs
-- The $3 oldest jobs of a key that are not being stopped.
select c.job_id::text as id, j.name, j.created_by ->> 'id' as created_by
from claims c join jobs j on j.id = c.job_id
where c.space = $1 and c.key = $2 and c.arrived and c.superseded_by is null and j.stopping is null
order by c.since, c.job_id
limit $3

-- name: supersede
-- Mark these jobs, of which each has its row: they are to be cancelled for the newer ones.
with locked as (
    select c.job_id, c.space, new.by
    from claims c
    join unnest($1::uuid[], $2::text[], $3::uuid[]) as new (job_id, space, by)
        on new.job_id = c.job_id and new.space = c.space
    order by c.job_id, c.space
    for update of c
)
update claims c set superseded_by = locked.by
from locked
where c.job_id = locked.job_id and c.space = locked.space

-- name: claims_in_need
-- Whether any claim waits or is to be given up.
select exists (select from claims where held_at is null or superseded_by is not null)

-- name: arriving_jobs
-- Jobs whose `run_at` has come, so that they arrive at their keys, the first ones first.
select distinct on (since, job_id) job_id::text as job_id from claims where not arrived and since <= $1
order by since, job_id
limit $2

-- name: superseded_jobs
-- Jobs that are to be cancelled because newer ones took their places.
select distinct on (c.job_id) c.job_id::text as job_id, c.superseded_by::text as by, c.space, n.created_by
from claims c
join jobs j on j.id = c.job_id
left join jobs n on n.id = c.superseded_by
where c.superseded_by is not null and j.stopping is null and j.finished_at is null
order by c.job_id
limit $1

-- name: keys_with_room
-- Some of the keys that fewer jobs hold than may, while others wait for them; in any order, so that each has its turn.
select w.space, w.key
from (
    select space, key, max(slot_limit) as most
    from claims
    where held_at is null and arrived and superseded_by is null
    group by space, key
) w
where w.most > (
    select count(*) from claims h where h.space = w.space and h.key = w.key and h.held_at is not null
)
order by random()
limit $1

-- name: admissible_jobs
-- The jobs that may hold these keys next, at most $3 of each key, with all keys that they claim.
select distinct c.job_id::text as job_id, o.space, o.key
from unnest($1::text[], $2::text[]) as k (space, key)
cross join lateral (
    select count(*) as holding from claims h where h.space = k.space and h.key = k.key and h.held_at is not null
) held
join lateral (
    select max(w.slot_limit) as limit from claims w where w.space = k.space and w.key = k.key and w.held_at is null
) most on most.limit > held.holding
cross join lateral (
    select c.job_id
    from claims c
    where
        c.space = k.space and c.key = k.key and c.held_at is null and c.arrived and c.superseded_by is null
        and c.slot_limit > held.holding and not kept_out(c)
    order by c.rank desc, c.since, c.job_id
    limit $3
) c
join claims o on o.job_id = c.job_id

-- name: waiting_claims
-- The claims of those of these jobs that wait, in the order in which they are admitted; and how many jobs hold each key.
-- Run it under the locks of the keys.
select
    c.job_id::text as job_id, c.space, c.key, c.slot_limit, c.when_full, c.only_of::text as only_of,
    c.since, c.arrived,
    (
        select count(*) from claims h where h.space = c.space and h.key = c.key and h.held_at is not null
    )::integer as holding
from claims c
where
    c.job_id = any($1::uuid[]) and c.held_at is null
    and not exists (select from claims o where o.job_id = c.job_id and o.superseded_by is not null)
order by c.rank desc, c.since, c.job_id

-- name: hold_claims
-- Have jobs hold the keys that they claim.
with claims_held as (
    update claims set held_at = $2, arrived = true where job_id = any($1::uuid[])
)
update jobs set claim = 'held' where id = any($1::uuid[])

-- name: keep_waiting
-- Note that jobs have arrived at their keys, and wait.
update claims set arrived = true where job_id = any($1::uuid[])

-- name: keys_of_job
-- The keys that a job claims.
select space, key from claims where job_id = $1::uuid

-- name: free_claims_of_ended
-- Delete claims of jobs that have ended, which an earlier version of the service leaves behind.
delete from claims c where not exists (select from jobs j where j.id = c.job_id and j.finished_at is null)

-- name: rerank_claims
-- Note the new priority of a job that waits.
update claims set rank = $2 where job_id = $1::uuid

-- name: describe_wait
-- What a job waits for: of two keys, the one that is full.
select
    c.space, c.key, c.slot_limit, c.since, c.arrived, held.holding, held.holders, line.waiting,
    line.before + 1 as position
from claims c
cross join lateral (
    select
        (
            select count(*) from claims h where h.space = c.space and h.key = c.key and h.held_at is not null
        )::integer as holding,
        array(
            select json_build_array(h.job_id, j.name, rfc3339(h.held_at))
            from claims h join jobs j on j.id = h.job_id
            where h.space = c.space and h.key = c.key and h.held_at is not null
            order by h.held_at, h.job_id
            limit $2
        ) as holders
) held
cross join lateral (
    select
        count(*)::integer as waiting,
        (count(*) filter (
            where w.rank > c.rank or (w.rank = c.rank and (w.since, w.job_id) < (c.since, c.job_id))
        ))::integer as before
    from claims w
    where w.space = c.space and w.key = c.key and w.held_at is null and w.arrived
) line
where c.job_id = $1::uuid and c.held_at is null
order by held.holding >= c.slot_limit desc, c.space
limit 1

-- name: list_keys
-- A page of the keys that jobs hold or wait for, in their order, as JSON.
select
    left(k.key, 60) as beginning, md5(k.key) as digest,
    json_build_object(
        'key', k.key,
        'limit', k.slot_limit,
        'holding', k.holding,
        'waiting', k.waiting,
        'waiting_since', rfc3339(k.waiting_since),
        'holders', coalesce(
            (
                select json_agg(json_build_object('job_id', h.job_id, 'job_name', h.name, 'since', rfc3339(h.held_at)))
                from (
                    select h.job_id, j.name, h.held_at
                    from claims h join jobs j on j.id = h.job_id
                    where h.space = 'key' and h.key = k.key and h.held_at is not null
                    order by h.held_at, h.job_id
                    limit :holders
                ) h
            ),
            '[]'::json
        )
    )::text as body
from (
    select
        c.key, max(c.slot_limit) as slot_limit, count(*) filter (where c.held_at is not null) as holding,
        count(*) filter (where c.held_at is null and c.arrived) as waiting,
        min(c.since) filter (where c.held_at is null and c.arrived) as waiting_since
    from claims c
    where c.space = 'key'
        and c.key = :key::text -- if given
    group by c.key
) k
where k.holding + k.waiting > 0
    and (left(k.key, 60), md5(k.key)) > (:beginning::text, :digest::text) -- if given
order by left(k.key, 60), md5(k.key)
limit :limit

-- name: count_claims
-- How many jobs hold a key, how many wait for one, and since when the oldest of these does.
select
    (count(distinct job_id) filter (where held_at is not null))::integer as holding,
    (count(distinct job_id) filter (where held_at is null and arrived))::integer as waiting,
    min(since) filter (where held_at is null and arrived) as since
from claims
