"""The numbers of jobs are exact whatever changes them, and show what happened over time and to a pipeline."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.counting import Counting
from orchestrator.store import counts
from orchestrator.store.counts import CountStore
from schemas.events import JobStarted
from schemas.model import rfc3339
from shared.ids import new_id
from tests.integration.orchestrator.conftest import House, finished, scheduled, started

STEP = {"name": "main", "command": "true"}
pytestmark = pytest.mark.usefixtures("scheduler")


async def until_run(house: House, job: Any, outcome: Any = None) -> None:
    """Let a job start and, with an outcome, end."""
    placed = scheduled(await house.queued(job))
    await house.say(started(placed))
    await house.ears.wait(JobStarted, where=lambda one: one.job_id == job["id"])
    if outcome is not None:
        await house.say(finished(placed, outcome))
        await house.over(job)


async def shown(house: House) -> dict[str, int]:
    """The numbers, which must be those of the table."""
    answer = await house.get("/api/v1/jobs/counts")
    assert set(answer["counts"]) == {"pending", "running", "succeeded", "failed", "cancelled"}
    assert answer["total"] == sum(answer["counts"].values())
    rows = await house.database.fetch("select status, count(*) as n from jobs group by status")
    found = {status: n for status, n in answer["counts"].items() if n}
    assert found == {row["status"]: row["n"] for row in rows}
    return found


async def compact(house: House) -> None:
    store = CountStore(house.database)
    while await store.compact():
        pass
    assert await house.database.fetch_value("select count(*) from job_changes") == 0


async def test_the_numbers_follow_each_change(house: House) -> None:
    await house.part(Counting).stop()
    assert await shown(house) == {}
    jobs = [await house.submit() for _ in range(3)] + await house.post("/api/v1/jobs/batch", [{"command": "x"}] * 4)
    assert await shown(house) == {"pending": 7}
    await compact(house)

    await until_run(house, jobs[0])
    await until_run(house, jobs[1], "succeeded")
    await until_run(house, jobs[2], "failed")
    await house.cancelled(jobs[3])
    assert await shown(house) == {"pending": 3, "running": 1, "succeeded": 1, "failed": 1, "cancelled": 1}
    await compact(house)
    assert await shown(house) == {"pending": 3, "running": 1, "succeeded": 1, "failed": 1, "cancelled": 1}

    await house.call("DELETE", f"/api/v1/jobs/{jobs[1]['id']}", status=204)
    later = rfc3339(datetime.now(UTC) + timedelta(minutes=1))
    assert (await house.call("DELETE", f"/api/v1/jobs?before={later}&status=failed"))["deleted"] == 1
    assert await shown(house) == {"pending": 3, "running": 1, "cancelled": 1}
    await compact(house)
    assert await shown(house) == {"pending": 3, "running": 1, "cancelled": 1}


async def test_a_request_that_is_repeated_or_refused_counts_nothing(house: House) -> None:
    key = {"Idempotency-Key": "once"}
    for _ in range(2):
        await house.post("/api/v1/jobs", {"command": "true"}, headers=key)
    await house.post("/api/v1/jobs", {"command": "true", "pipeline_id": new_id()}, status=422)
    [job] = await house.get("/api/v1/jobs")
    await house.call("DELETE", f"/api/v1/jobs/{job['id']}", status=409)
    assert await shown(house) == {"pending": 1}


async def test_changes_are_added_up_while_jobs_are_made_and_deleted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "AT_ONCE", 3)
    store = CountStore(house.database)
    over = asyncio.Event()

    async def add_up() -> None:
        while not over.is_set():
            await store.compact()
            await store.recount()

    async def make_and_delete() -> None:
        for _ in range(15):
            job = await house.submit()
            await house.cancelled(job)
            await house.submit()
            await house.call("DELETE", f"/api/v1/jobs/{job['id']}", status=204)

    async with asyncio.TaskGroup() as group:
        adding = [group.create_task(add_up()) for _ in range(2)]
        await asyncio.gather(*(make_and_delete() for _ in range(3)))
        over.set()
        await asyncio.gather(*adding)
    assert await shown(house) == {"pending": 45}
    assert sum(one["created"] for one in (await house.get("/api/v1/jobs/throughput"))["buckets"]) == 90


async def test_what_was_not_noted_is_counted_at_the_start(house: House) -> None:
    """As after an upgrade beside an earlier version, which notes nothing."""
    job = await house.submit()
    await house.part(Counting).stop()
    await house.database.execute("delete from job_changes")
    await house.database.execute("update job_counts set pending = 0")
    assert (await house.get("/api/v1/jobs/counts"))["total"] == 0

    await house.submit()
    counting = Counting(CountStore(house.database))
    await counting.run_once()

    assert await shown(house) == {"pending": 2}
    await house.cancelled(job)
    assert await counting.run_once() == {"compacted": 1}
    assert await shown(house) == {"pending": 1, "cancelled": 1}


async def test_throughput_is_shown_in_buckets(house: House) -> None:
    first, second = await house.submit(), await house.submit()
    await until_run(house, first, "succeeded")
    await compact(house)
    await house.cancelled(second)
    await house.call("DELETE", f"/api/v1/jobs/{first['id']}", status=204)
    await house.database.execute(
        "insert into job_minutes values (date_trunc('minute', now() - interval '100 minutes'), 5, 4, 3, 2)"
    )
    since = datetime.now(UTC) - timedelta(hours=2)

    answer = await house.get(f"/api/v1/jobs/throughput?since={rfc3339(since)}&step=3600")

    assert answer["step"] == 3600
    moments = [datetime.fromisoformat(one["at"]) for one in answer["buckets"]]
    assert len(moments) == 3
    assert moments[0] <= since < moments[1]
    assert all(one.minute == one.second == 0 for one in moments)
    sums = {what: sum(one[what] for one in answer["buckets"]) for what in answer["buckets"][0] if what != "at"}
    assert sums == {"created": 7, "succeeded": 5, "failed": 3, "cancelled": 3}
    assert len((await house.get("/api/v1/jobs/throughput"))["buckets"]) == 97
    for wrong in ("step=59", "step=90", "step=60&since=2026-01-01T00:00:00Z", "since=yesterday"):
        assert (await house.get(f"/api/v1/jobs/throughput?{wrong}", status=422))["errors"]


async def test_a_pipelines_runs_are_summed_up(house: House) -> None:
    pipeline = await house.pipeline(STEP)
    path = f"/api/v1/pipelines/{pipeline['id']}/statistics"
    assert await house.get(path) == {
        "pipeline_id": pipeline["id"], "runs": [], "counted": 0, "success_rate": None, "mean": None, "p95": None,
    }  # fmt: skip
    jobs = [await house.post("/api/v1/jobs", {"pipeline_id": pipeline["id"]}) for _ in range(4)]
    await house.submit()
    for job, outcome in zip(jobs, ("succeeded", "succeeded", "failed"), strict=False):
        await until_run(house, job, outcome)
    await house.database.execute(
        "update jobs set finished_at = started_at + interval '10 seconds' where id = $1", jobs[0]["id"]
    )
    await house.database.execute(
        "update jobs set finished_at = started_at + interval '20 seconds' where id = $1", jobs[1]["id"]
    )

    answer = await house.get(path)

    assert [one["id"] for one in answer["runs"]] == [job["id"] for job in reversed(jobs)]
    assert [one["duration"] for one in answer["runs"]][-2:] == [20.0, 10.0]
    assert (answer["runs"][0]["status"], answer["runs"][0]["duration"]) == ("pending", None)
    assert (answer["counted"], answer["mean"], answer["p95"]) == (3, 15.0, 19.5)
    assert answer["success_rate"] == pytest.approx(2 / 3)
    assert len((await house.get(f"{path}?limit=2"))["runs"]) == 2
    await house.get(f"/api/v1/pipelines/{new_id()}/statistics", status=404)
