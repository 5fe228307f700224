-- What a statement takes for granted: where it does not hold, nothing of the statement is written.
create function must(holds boolean, otherwise text) returns boolean
language plpgsql
as $$
begin
    if holds then
        return true;
    end if;
    raise exception using errcode = 'serialization_failure', message = otherwise;
end
$$;
