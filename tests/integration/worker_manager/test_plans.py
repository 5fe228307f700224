"""The hot queries go through their indexes, at any size of the tables."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from schemas.rest.executions import ExecutionQuery
from shared.postgres import Database, Described, Transaction, migrate, narrowed_by, queries, with_rows
from worker_manager.store import tables
from worker_manager.store.executions import ExecutionStore

FILL = """
insert into executions (id, task_id, job_id, worker_id, worker_name, incarnation, attempt, status, rank, reason,
                        exit_code, assignment, sent_at, created_at, labels, created_by)
select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), ('00000000-0000-7000-8000-00000000000' || n % 10)::uuid,
       'w' || n % 40, gen_random_uuid(), case when n % 150 = 50 then 2 else 1 end,
       case when n % 100 = 0 then 'pending' when n % 50 = 0 then 'failed' else 'succeeded' end,
       case when n % 100 = 0 then 0 else 2 end, case when n % 100 = 50 then 'exit_code' end,
       case when n % 100 = 50 then 3 when n % 100 > 0 then 0 end, case when n % 100 = 0 then '{}' end,
       now() - interval '1 minute', '2026-01-01Z'::timestamptz + make_interval(mins => n),
       case when n % 100 = 7 then '{"team": "web"}' when n % 10 = 3 then '{"team": "app"}' end::jsonb,
       jsonb_build_object('id', '00000000-0000-7000-8000-00000000000' || n % 10, 'name', 'token-' || n % 10)
from generate_series(1, 20000) n
"""
ID = "00000000-0000-7000-8000-000000000001"
LATE = "f0000000-0000-7000-8000-000000000001"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EXECUTION_FILTERS = (
    *("before", "status", "worker_id", "worker_name", "job_id", "task_id", "reason", "created_after", "created_before"),
    *("labels", "created_by_id", "created_by_name"),
    *("below", "first_attempt", "no_exit_code", "attempt", "exit_code"),
)


ROWS: dict[str, dict[str, Described]] = {
    "record_orders": {"orders": tables.ORDERS},
    "record_reports": {"reports": tables.REPORTS, "placed": tables.PLACED},
    "close_unplaced": {"ends": tables.UNPLACED},
    "close_settled": {"ends": tables.SETTLED},
    "claim_unheard": {"workers": tables.HEARD},
}
SINGLE = re.compile(r"(?<![:\w]):([a-z]\w*)\b(?!\.)")


def _list(**values: object) -> dict[str, object]:
    assert set(values) <= set(EXECUTION_FILTERS)
    return {name: values.get(name) for name in EXECUTION_FILTERS} | {"limit": 101}


@pytest.fixture
async def filled(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, schema="worker_manager", name="test", min_size=1, max_size=1)
    await database.start()
    try:
        await migrate(database, "worker_manager")
        await database.execute(FILL)
        await database.execute("analyze executions")
        yield database
    finally:
        await database.stop()


def _query(name: str, values: list[object] | dict[str, object]) -> tuple[str, tuple[object, ...]]:
    query = queries.load_queries("worker_manager")[name]
    if isinstance(values, dict):
        return narrowed_by(query, values)
    return _numbered(name, query), tuple(values)


def _numbered(name: str, query: str) -> str:
    """The query with numbered parameters: its rows, then its single values in the order in which they appear."""
    return with_rows(query, *dict.fromkeys(SINGLE.findall(query)), **ROWS.get(name, {}))


async def plan(tx: Transaction, query: str, *args: object) -> str:
    return "\n".join(str(row[0]) for row in await tx.fetch(f"explain {query}", *args))


@pytest.mark.parametrize(
    ("name", "args", "index"),
    [
        ("get_execution", [ID], "executions_pkey"),
        ("get_execution_log", [ID], "executions_pkey"),
        ("list_executions", _list(), "executions_pkey"),
        ("list_executions", _list(before=LATE, status="failed"), "executions_by_status"),
        ("list_executions", _list(before=LATE, worker_id=ID), "executions_by_worker"),
        ("list_executions", _list(before=LATE, job_id=ID), "executions_by_job"),
        ("list_executions", _list(before=LATE, task_id=ID), "executions_by_task"),
        ("list_executions", _list(before=LATE, worker_name="w7"), "executions_by_worker_name"),
        ("list_executions", _list(before=LATE, reason="exit_code"), "executions_reason"),
        ("list_executions", _list(before=LATE, attempt=2), "executions_by_attempt"),
        # PostgreSQL has no statistics of partial indexes: it takes one token for the creator of 0.5 % of the rows.
        ("list_executions", _list(before=LATE, created_by_id=ID) | {"limit": 21}, "executions_by_creators_id"),
        ("list_executions", _list(created_by_name="token-7") | {"limit": 21}, "executions_by_creators_name"),
        ("list_executions", _list(before=LATE, first_attempt=True), "executions_pkey"),
        ("list_executions", _list(before=LATE, exit_code=3), "executions_by_exit_code"),
        ("list_executions", _list(before=LATE, no_exit_code=True), "executions_pkey"),
        ("list_executions", _list(before=LATE, labels={"team": "web"}), "executions_by_labels"),
        ("list_executions", _list(labels={"team": "web", "tier": "1"}), "executions_by_labels"),
        ("list_executions", _list(created_before=NOON, below=ID), "executions_pkey"),
        (
            "list_executions",
            _list(created_after=NOON, created_before=NOON + timedelta(minutes=20)),
            "executions_by_creation",
        ),
        ("claim_unheard", [[ID], [ID], 5.0, [], 500], "executions_by_status"),
        ("overdue_executions", {"status": "pending", "after": ID, "age": 15.0, "limit": 500}, "executions_by_status"),
        ("recall_executions", [[ID]], "executions_by_task"),
        ("close_unplaced", [[ID], [1], ["failed"], ["lost"], ["x"], [None]], "Index Scan"),
        ("delete_executions_of_jobs", [[ID], 500], "executions_by_job"),
        ("executions_to_purge", [ID, LATE, NOON, 500], "executions_pkey"),
        ("delete_executions", [[ID]], "executions_pkey"),
        ("oldest_execution_over", [ID, 500], "executions_pkey"),
        ("close_settled", [[ID], ["failed"], ["lost"], ["x"], [None]], "executions_pkey"),
    ],
)
async def test_no_hot_query_reads_the_whole_table(
    filled: Database, name: str, args: list[object] | dict[str, object], index: str
) -> None:
    async with filled.transaction() as tx:
        query, arguments = _query(name, args)
        chosen = await plan(tx, query, *arguments)

    assert index in chosen
    assert "Seq Scan on executions" not in chosen
    few = ("claim_unheard", "recall_executions")  # its few pending ones
    assert "Sort" not in chosen or name in few or index in ("executions_by_creation", "executions_by_labels")


async def test_each_list_is_planned_for_its_values(filled: Database) -> None:
    """PostgreSQL would choose one plan for all workers after five lists: for one that ran little, all rows are read."""
    store = ExecutionStore(filled)
    for _ in range(10):
        await store.list(ExecutionQuery(worker_id=ID), None)

    rows = await filled.fetch("select generic_plans, custom_plans, statement from pg_prepared_statements")
    [(generic, custom)] = [(row[0], row[1]) for row in rows if "execution_json(executions) as body" in row[2]]
    assert (generic, custom) == (0, 10)


async def test_every_query_is_valid_sql(filled: Database) -> None:
    async with filled.transaction() as tx:
        for name, query in queries.load_queries("worker_manager").items():
            await tx.execute(f"prepare check_{name} as {_numbered(name, query)}")
