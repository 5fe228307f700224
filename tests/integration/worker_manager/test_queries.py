"""The hot queries go through their indexes, at any size of the tables."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared import queries
from shared.database import Database, Transaction
from shared.migrations import migrate
from shared.statements import narrowed

FILL = """
insert into executions (id, task_id, job_id, worker_id, incarnation, attempt, status, rank, assignment, sent_at,
                        reason)
select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), ('00000000-0000-7000-8000-00000000000' || n % 10)::uuid,
       gen_random_uuid(), 1, case when n % 100 = 0 then 'pending' when n % 50 = 0 then 'failed' else 'succeeded' end,
       case when n % 100 = 0 then 0 else 2 end, case when n % 100 = 0 then '{}' end, now() - interval '1 minute',
       case when n % 50 = 0 and n % 100 <> 0 then 'timeout' end
from generate_series(1, 20000) n
"""
ID = "00000000-0000-7000-8000-000000000001"
LATE = "f0000000-0000-7000-8000-000000000001"


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


async def plan(tx: Transaction, query: str, *args: object) -> str:
    return "\n".join(str(row[0]) for row in await tx.fetch(f"explain {query}", *args))


@pytest.mark.parametrize(
    ("name", "args", "index"),
    [
        ("get_execution", [ID], "executions_pkey"),
        ("get_execution_log", [ID], "executions_pkey"),
        ("list_executions", [*[None] * 8, 101], "executions_pkey"),
        ("list_executions", [LATE, "failed", *[None] * 6, 101], "executions_by_status"),
        ("list_executions", [LATE, None, ID, *[None] * 5, 101], "executions_by_worker"),
        ("list_executions", [LATE, None, None, ID, *[None] * 4, 101], "executions_by_job"),
        ("list_executions", [LATE, None, None, None, ID, *[None] * 3, 101], "executions_by_task"),
        ("list_executions", [LATE, *[None] * 4, "timeout", None, None, 101], "executions_reason"),
        ("claim_unheard", [[ID], [ID], [], 500, 5.0], "executions_by_status"),
        ("overdue_executions", ["pending", ID, 15.0, 500], "executions_by_status"),
        ("recall_executions", [[ID]], "executions_by_task"),
        ("close_unplaced", [[ID], [1], ["failed"], ["lost"], ["x"], [None]], "Index Scan"),
    ],
)
async def test_no_hot_query_reads_the_whole_table(filled: Database, name: str, args: list[object], index: str) -> None:
    async with filled.transaction() as tx:
        query, arguments = narrowed(queries.load("worker_manager")[name], *args)
        chosen = await plan(tx, query, *arguments)

    assert index in chosen
    assert "Seq Scan on executions" not in chosen
    assert "Sort" not in chosen or name in ("claim_unheard", "recall_executions")  # its few pending ones


async def test_every_query_is_valid_sql(filled: Database) -> None:
    async with filled.transaction() as tx:
        for name, query in queries.load("worker_manager").items():
            await tx.execute(f"prepare check_{name} as {query}")
