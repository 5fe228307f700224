"""The report that ended an attempt, in its row: packed by this version, as it was by an earlier one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from scheduler.store.reports import packed_report
from scheduler.store.rows import known_of
from schemas.events import ExecutionFinished
from schemas.states import ExecutionStatus
from shared.postgres import Database, load_queries

REPORT = ExecutionFinished.model_validate(
    {
        "execution_id": "01a22592-4351-7063-a346-98b5ea7783b6",
        "task_id": "01a22592-4332-746b-8049-690457568262",
        "job_id": "01a22592-4332-746b-8049-69039263153f",
        "attempt": 1,
        "worker_id": "01a22592-40f8-77c8-b40c-3748a0b8e4b1",
        "worker_name": "worker-3748a0b8e4b1",
        "incarnation": "01a22592-42d7-778c-aa22-759425fb4b21",
        "status": ExecutionStatus.SUCCEEDED,
        "exit_code": 0,
        "started_at": datetime(2026, 11, 29, 4, 31, 12, 228768, tzinfo=UTC),
        "finished_at": datetime(2026, 11, 29, 4, 31, 12, 230457, tzinfo=UTC),
        "log": {"chunks": 0, "lines": 0, "bytes": 0, "truncated": False},
    }
)
PACKED_WITH_DICTIONARY_1 = bytes.fromhex(
    "01a5924b0e84300c434f94517e6d52ce312b764d81fb1f016605053142621b3996e5e74bb987a744609805aa6886e291e66ae612b903f024c911"
    "d293547f40eeefb838983587506c20a65e317cd6a03bd8274d0f7e37e6c936636f50b70b582aca69090da617e3e0f2451d8406e20fb35bf6f176"
    "239d567e358e2fa6b202"
)
"""As the first version with packed reports wrote it. Rows like it are kept for a day: this must stay readable."""


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    database = Database(migrated_database_url, schema="scheduler", name="test", min_size=1, max_size=2)
    await database.start()
    yield database
    await database.stop()


async def _recalled(database: Database, report: str | None, packed: bytes | None) -> str | None:
    await database.execute(
        """
        insert into tasks (task_id, job_id, attempt, status, name, priority, requires, queued_at, ready_at, done_at,
                           outcome, report, packed_report)
        values ($1, $2, 1, 'done', 'x', 1, '{}', now(), now(), now(), 'succeeded', $3, $4)
        """,
        REPORT.task_id,
        REPORT.job_id,
        report,
        packed,
    )
    [row] = await database.fetch(load_queries("scheduler")["recall_tasks"], [REPORT.task_id])
    return known_of(row).report


async def test_a_packed_report_is_read_as_it_was(database: Database) -> None:
    packed = packed_report(REPORT)
    assert len(packed) < 140 < len(REPORT.model_dump_json(exclude_none=True)) / 3
    assert await _recalled(database, None, packed) == REPORT.model_dump_json(exclude_none=True)


async def test_a_report_that_the_first_packing_version_wrote_is_read(database: Database) -> None:
    assert await _recalled(database, None, PACKED_WITH_DICTIONARY_1) == REPORT.model_dump_json(exclude_none=True)


async def test_a_report_of_a_version_that_packed_none_is_read(database: Database) -> None:
    text = REPORT.model_dump_json(exclude_none=True)
    assert await _recalled(database, text, None) == text


async def test_a_row_without_a_report_has_none(database: Database) -> None:
    assert await _recalled(database, None, None) is None
