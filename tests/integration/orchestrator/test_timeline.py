"""Rows of the timeline: as this version packs them, and as earlier versions wrote them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from orchestrator.store.timeline import ROWS_AT_ONCE, TimelineStore, Told
from shared.postgres import Database
from tests.integration.orchestrator.conftest import House, finished, scheduled

JOB = "01a22592-5daa-71c2-9b8b-aa9dd6aa970b"
TASK = "01a22592-5daa-71c2-9b8b-aa9e8bcf28c2"
AT = "2026-11-29T04:31:18.954469Z"
ENTRIES = [
    {
        "type": "jobs.created",
        "time": AT,
        "data": {"job_id": JOB, "name": "true", "priority": "normal", "labels": {}},
    },
    {"type": "tasks.queued", "time": AT, "data": {"task_id": TASK, "job_id": JOB, "attempt": 1}},
]
PACKED_WITH_DICTIONARY_1 = bytes.fromhex(
    "0123b24434b20c3130b13236b432b4d0b334353131b3c45a22126323c28fc0384955225426125fe8e1772322fef03832d5222939cdc822d9083"
    "98e89f41472190a00"
)
"""ENTRIES as the first version with packed timelines wrote them. They are kept for months: it must stay readable."""


@pytest.fixture
async def database(migrated_database_url: str) -> AsyncIterator[Database]:
    database = Database(migrated_database_url, schema="orchestrator", name="test", min_size=1, max_size=2)
    await database.start()
    yield database
    await database.stop()


def _bodies(found: list[Told]) -> list[object]:
    return [json.loads(one.body) for one in found]


async def test_rows_of_all_versions_are_read_and_resumed_alike(database: Database) -> None:
    insert = "insert into timeline (job_id, entries, packed) values ($1, $2::text::json, $3) returning id"
    old = await database.fetch_value(insert, JOB, json.dumps(ENTRIES, separators=(",", ":")), None)
    new = await database.fetch_value(insert, JOB, None, PACKED_WITH_DICTIONARY_1)
    timeline = TimelineStore(database)
    expected = [{"id": f"{row}.{n}", **entry} for row in (old, new) for n, entry in enumerate(ENTRIES, 1)]
    everything = await timeline.after(JOB, 0, 0, 1000)
    assert _bodies(everything) == expected
    assert [one.type for one in everything] == [entry["type"] for entry in ENTRIES] * 2
    for n, one in enumerate(everything, 1):
        assert await timeline.after(JOB, one.row, one.position, 1000) == everything[n:]
        assert await timeline.after(JOB, 0, 0, n) == everything[:n]


async def test_an_id_in_capitals_reads_the_same_timeline(database: Database) -> None:
    await database.execute("insert into timeline (job_id, packed) values ($1, $2)", JOB, PACKED_WITH_DICTIONARY_1)
    assert len(await TimelineStore(database).after(JOB.upper(), 0, 0, 10)) == 2


async def test_a_timeline_of_more_rows_than_are_read_at_once_is_whole(database: Database) -> None:
    rows = 2 * ROWS_AT_ONCE + 1
    await database.execute(
        "insert into timeline (job_id, packed) select $1, $2 from generate_series(1, $3)",
        JOB,
        PACKED_WITH_DICTIONARY_1,
        rows,
    )
    timeline = TimelineStore(database)
    found = await timeline.after(JOB, 0, 0, 10_000)
    assert len(found) == 2 * rows
    assert all(one[:2] < other[:2] for one, other in pairwise(found))


async def test_a_finished_job_of_one_step_has_a_small_timeline(house: House) -> None:
    job = await house.submit()
    await house.say(finished(scheduled(await house.queued(job))))
    await house.over(job)
    entries = await house.get(f"/api/v1/jobs/{job['id']}/events")
    size = await house.database.fetch_value(
        "select sum(octet_length(packed)) from orchestrator.timeline where job_id = $1", job["id"]
    )
    assert len(entries) >= 6
    assert size < 500 < len(json.dumps(entries)) / 3
    assert datetime.fromisoformat(entries[0]["time"]).tzinfo == UTC
