-- The entry of a call in the audit log is written beside the first event of its transaction, and moves to the audit log when
-- that row of the outbox is deleted (docs/adr/0034): soon after, and with many others, which costs a fraction of an insert of
-- its own. A trigger moves it, so that no way of deleting a row, and no earlier version, loses an entry.
alter table outbox add column audit json;

create function move_audit() returns trigger
language plpgsql
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
