"""The filters of the console's page find few entries among many by an index."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from schemas.rest.audit import AuditQuery
from shared.audit import AuditStore
from shared.ids import new_id
from shared.postgres import Database, load_queries, migrate, narrowed_by

FILL = """
insert into audit (id, outcome, token_id, token_name, method, route)
select lpad(to_hex(n), 32, '0')::uuid,
       (case when n % 100 = 1 then 'unauthorized' when n % 1000 = 2 then 'forbidden' else 'changed' end)::audit_outcome,
       case when n % 100 <> 1 then lpad(to_hex(n % 40), 32, '0')::uuid end,
       case when n % 100 <> 1 then 'token-' || n % 40 end,
       case when n % 50 = 3 then 'DELETE' else 'POST' end, '/api/v1/jobs'
from generate_series(1, 20000) n
"""
NAMES = (
    *("before", "from", "outcome", "changed", "entity", "name", "token_id", "token_name", "address", "method", "post"),
    *("route", "request_id", "below"),
)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, schema="trial", name="test", min_size=1, max_size=1)
    await database.start()
    try:
        await migrate(database, "shared")
        await database.execute(FILL)
        await database.execute("analyze audit")
        yield database
    finally:
        await database.stop()


CASES: list[tuple[dict[str, object], str]] = [
    ({}, "audit_pkey"),
    ({"changed": True}, "audit_pkey"),
    ({"post": True}, "audit_pkey"),
    ({"outcome": "forbidden"}, "audit_refused"),
    ({"outcome": "failed"}, "audit_refused"),
    ({"name": "dead-letter-7"}, "audit_by_name"),
    ({"token_id": new_id()}, "audit_by_token_id"),
    ({"token_name": "nobody"}, "audit_by_token_name"),
    ({"method": "DELETE"}, "audit_by_method"),
    ({"method": "PUT"}, "audit_by_method"),
    ({"method": "PUT", "token_name": "token-7"}, "audit_by_method"),
]


async def test_a_filter_does_not_read_the_whole_log(database: Database) -> None:
    faults: list[str] = []
    for values, index in CASES:
        given = {name: values.get(name) for name in NAMES} | {"service": "trial", "limit": 21}
        query, arguments = narrowed_by(load_queries("shared.audit")["list_audit"], given)
        plan = "\n".join(row[0] for row in await database.fetch(f"explain {query}", *arguments))
        if "Seq Scan on audit" in plan or index not in plan:
            faults.append(f"{values} does not use {index}: {plan}")
    assert not faults, "\n".join(faults)


async def test_each_list_is_planned_for_its_values(database: Database) -> None:
    """PostgreSQL would choose one plan for all tokens after five lists, those that did nothing for long included."""
    store = AuditStore(database, service="trial")
    for _ in range(10):
        await store.find(AuditQuery(by="token-7"), None)

    rows = await database.fetch("select generic_plans, custom_plans, statement from pg_prepared_statements")
    [(generic, custom)] = [(row[0], row[1]) for row in rows if "json_populate_record" in row[2]]
    assert (generic, custom) == (0, 10)
