-- Gives the space of the outbox back when it is empty, so that a queue that was once long does not stay large. Returns
-- whether it did. It waits for no lock: where another session uses the table at this moment, nothing is done. Under the
-- lock no transaction can have rows in it that are not committed yet.
create function give_outbox_back() returns boolean
language plpgsql
as $$
begin
    lock table outbox in access exclusive mode nowait;
    if exists (select from outbox) then
        return false;
    end if;
    truncate outbox;
    return true;
exception
    when lock_not_available then
        return false;
end
$$;

-- The body of a response, packed, where it is short (shared/web/idempotency.py); otherwise it is in `body`.
alter table idempotency_keys add column packed_body bytea;
alter table idempotency_keys alter column packed_body set storage external;
-- A day's keys are kept. By default, a fifth of them would have to be deleted before a vacuum frees their space.
alter table idempotency_keys set (
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);
