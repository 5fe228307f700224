-- name: record_call
-- Write the row of the call that this transaction belongs to, at its end.
with audit_row as (
    insert into audit (
        id, outcome, token_id, token_name, address, method, route, entity, entities, name, request, request_text
    )
    values (
        $1::uuid, $2::text::audit_outcome, $3::uuid, $4::text, $5::text::inet, $6::text, $7::text, $8::uuid,
        $9::uuid[], $10::text, $11::uuid, $12::text
    )
)
select true as audited

-- name: insert_refusals
-- Write the rows of refused calls. A row that is there already stays as it is.
insert into audit (:refusals.columns)
select :refusals.values from unnest(:refusals.arrays) as new (:refusals.columns)
on conflict (id) do nothing

-- name: list_audit
-- A page of the audit log as JSON, newest first: of its table, and of the outbox, where the entries of changes wait until
-- the events beside them are published. The index of refusals leaves out what changed something, the one by method each
-- POST.
select
    a.id::text as id,
    json_build_object(
        'id', a.id,
        'service', :service::text,
        'created_at', to_char(made_at(a.id) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'outcome', a.outcome,
        'by', case when a.token_id is not null then json_build_object('id', a.token_id, 'name', a.token_name) end,
        'address', host(a.address),
        'method', a.method,
        'route', a.route,
        'entity_ids', case
            when a.entity is not null then array_to_json(array_prepend(a.entity, a.entities))
            when a.name is not null then json_build_array(a.name)
            else '[]'::json
        end,
        'request_id', coalesce(a.request_text, replace(a.request::text, '-', '')),
        'count', coalesce(a.repeats, 0) + 1
    )::text as body
from (
    select * from audit
    union all
    select new.* from outbox, json_populate_record(null::audit, outbox.audit) new where outbox.audit is not null
) a
where true
    and a.id < :before::uuid -- if given
    and a.id >= :from::uuid -- if given
    and a.id < :below::uuid -- if given
    and a.outcome = :outcome::text::audit_outcome and a.outcome <> 'changed' -- if given
    and :changed::boolean and a.outcome = 'changed' -- if given
    and (a.entity = :entity::uuid or a.entities @> array[:entity::uuid]) -- if given
    and a.name = :name::text -- if given
    and a.token_id = :token_id::uuid -- if given
    and a.token_name = :token_name::text -- if given
    and a.address = :address::text::inet -- if given
    and a.method = :method::text and a.method <> 'POST' -- if given
    and :post::boolean and a.method = 'POST' -- if given
    and a.route = :route::text -- if given
    and coalesce(a.request_text, replace(a.request::text, '-', '')) = :request_id::text -- if given
order by a.id desc
limit :limit

-- name: allow_audit_deletion
-- Tell the audit log's trigger that retention deletes in this transaction.
select set_config('hodei.audit_retention', 'on', true)

-- name: delete_audit
-- Delete the oldest rows below an id, a bounded number, except those that another process is deleting.
delete from audit
where id in (select id from audit where id < $1::uuid order by id limit $2 for update skip locked)

-- name: oldest_audit
-- The id of the oldest row.
select id::text from audit order by id limit 1
