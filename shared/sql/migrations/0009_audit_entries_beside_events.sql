-- The entry of a call in the audit log is written beside the first event of its transaction, and moves to the audit log when
-- that row of the outbox is deleted (docs/adr/0034): soon after, and with many others, which costs a fraction of an insert of
-- its own. A trigger moves it, so that each way of deleting a row moves it, also that of an earlier version.
alter table outbox add column audit json;

create function move_audit() returns trigger
language plpgsql
set search_path from current
as $$
begin
    if exists (select from gone where audit is not null) then
        insert into audit
        select * from json_populate_recordset(
            null::audit, (select json_agg(audit) from gone where audit is not null)
        )
        on conflict (id) do nothing;
    end if;
    return null;
end
$$;
create trigger move_audit after delete on outbox
    referencing old table as gone for each statement execute function move_audit();

-- An entry that waits is kept like those in the audit log. The space of an empty outbox may be given back.
create function keep_waiting_audit() returns trigger
language plpgsql
set search_path from current
as $$
begin
    if tg_op = 'TRUNCATE' and not exists (select from outbox where audit is not null) then
        return null;
    end if;
    raise exception using errcode = 'object_not_in_prerequisite_state', message = 'rows of the audit log are not changed';
end
$$;
create trigger keep_waiting_audit before update of audit or truncate on outbox
    for each statement execute function keep_waiting_audit();
