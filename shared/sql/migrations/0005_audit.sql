-- The audit log: one row for each call that changed something, and for each that was refused. `docs/audit.md` describes
-- it. Rows are small, because a busy platform writes many: what is not known is null, a call's moment is in its id, and
-- the first of its entities stands apart, so that most rows need no array.
create type audit_outcome as enum ('changed', 'failed', 'unauthorized', 'forbidden');

create table audit (
    id uuid primary key,
    token_id uuid,
    entity uuid,
    request uuid,
    outcome audit_outcome not null,
    repeats integer,
    address inet,
    method text not null,
    route text not null,
    token_name text,
    entities uuid[],
    name text,
    request_text text
);
comment on column audit.request is 'the request''s id where the service made it, otherwise it is in request_text';
comment on column audit.repeats is 'how many equal refusals followed within seconds';
comment on column audit.entities is 'further entities';
comment on column audit.name is 'the id in the path where it is not a UUID, as that of a dead letter';

create index audit_by_entity on audit (entity) where entity is not null;
create index audit_by_entities on audit using gin (entities) where entities is not null;
create index audit_refused on audit (id) where outcome <> 'changed';

-- Rows are written and, once they are old, deleted, and never changed. Retention says who it is before it deletes.
create function keep_audit() returns trigger
language plpgsql
as $$
begin
    if tg_op = 'DELETE' and current_setting('hodei.audit_retention', true) = 'on' then
        return null;
    end if;
    raise exception using errcode = 'object_not_in_prerequisite_state', message = 'rows of the audit log are not changed';
end
$$;
create trigger keep_audit before update or delete or truncate on audit for each statement execute function keep_audit();

-- The moment at which a UUIDv7 was made, to the millisecond.
create function made_at(id uuid) returns timestamptz
language sql immutable strict parallel safe
return to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0);
