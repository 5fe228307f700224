"""While too many jobs have not ended, the orchestrator turns submissions away, and everything else works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.room import JobRoom
from schemas.events import (
    ExecutionRefused,
    ExecutionRequested,
    JobTarget,
    ScheduleConfirmed,
    ScheduleFired,
    ScheduleRefused,
)
from schemas.refusals import RefusalReason
from schemas.specs import CommandSpec
from shared.clock import now
from shared.ids import new_id
from tests.integration.orchestrator.conftest import House, finished, scheduled

TARGET = JobTarget(command=CommandSpec(command="true"))


@pytest.fixture
def full(house: House) -> House:
    """An orchestrator that accepts two jobs."""
    house.part(JobRoom).limit = 2
    return house


def fired() -> ScheduleFired:
    return ScheduleFired(schedule_id=new_id(), job_id=new_id(), target=TARGET, due_at=now())


async def end(house: House, job: Mapping[str, Any]) -> None:
    """Let a job succeed, and have the jobs counted again."""
    placed = scheduled(await house.queued(job))
    await house.say(placed)
    await house.say(finished(placed))
    await house.over(job)
    await house.part(JobRoom).run_once()


async def test_submissions_are_turned_away_and_all_else_works_until_a_job_has_ended(full: House) -> None:
    first, second = await full.submit(), await full.submit()

    async with full.http.post(f"{full.url}/api/v1/jobs", json={"command": "true"}) as refused:
        assert refused.status == 429
        assert int(refused.headers["Retry-After"]) >= 1
        assert "about 2 jobs have not ended" in (await refused.json())["detail"]
    await full.post("/api/v1/jobs/batch", [{"command": "true"}, {"command": "true"}], status=429)
    await full.post("/api/v1/jobs/batch", [{"command": "true"}] * 3, status=422)
    assert len(await full.get("/api/v1/jobs")) == 2
    assert await full.healthy()
    async with full.http.get(f"{full.url}/metrics") as metrics:
        assert 'hodei_requests_turned_away_total{limit="jobs"} 2.0' in await metrics.text()
    await full.pipeline({"name": "a", "command": "true"})

    await full.call("POST", f"/api/v1/jobs/{second['id']}/cancel", status=202)
    await end(full, first)
    await full.submit()
    await full.post(f"/api/v1/jobs/{first['id']}/rerun", {}, status=429)


async def test_a_repeated_request_gets_its_first_response_however_full_it_is(full: House) -> None:
    headers = {"Idempotency-Key": "mine"}
    job = await full.post("/api/v1/jobs", {"command": "true"}, headers=headers)
    await full.submit()
    await full.post("/api/v1/jobs", {"command": "true"}, headers={"Idempotency-Key": "another"}, status=429)
    again = await full.post("/api/v1/jobs", {"command": "true"}, headers=headers)
    assert again["id"] == job["id"]
    # A key that was turned away is unused: the same request succeeds later.
    await end(full, job)
    await full.post("/api/v1/jobs", {"command": "true"}, headers={"Idempotency-Key": "another"})


async def test_jobs_that_end_make_room_without_being_asked(full: House) -> None:
    job = await full.submit()
    await full.submit()
    placed = scheduled(await full.queued(job))
    await full.say(placed)
    await full.say(finished(placed))
    await full.over(job)
    await full.part(JobRoom).next_run()
    await full.part(JobRoom).next_run()  # the first may have begun before the end was written
    await full.submit()


async def test_a_schedule_that_finds_no_room_is_told_so(full: House) -> None:
    job = await full.submit()
    await full.submit()
    within, beyond = fired(), fired()
    await full.say(within)  # the reserve
    [confirmed] = await full.ears.wait(ScheduleConfirmed)
    assert confirmed.job_id == within.job_id
    await full.say(beyond)
    [refused] = await full.ears.wait(ScheduleRefused)
    assert (refused.schedule_id, refused.job_id, refused.reason) == (
        beyond.schedule_id,
        beyond.job_id,
        RefusalReason.OVERLOADED,
    )
    assert refused.detail == "about 3 jobs have not ended, and the orchestrator accepts at most 2"
    await full.get(f"/api/v1/jobs/{beyond.job_id}", status=404)

    await full.say(within)  # delivered again: its job exists
    assert [one.job_id for one in await full.ears.wait(ScheduleConfirmed, 2)] == [within.job_id] * 2

    await end(full, job)
    await full.say(beyond)  # ordered again, when there is room
    assert (await full.ears.wait(ScheduleConfirmed, 3))[-1].job_id == beyond.job_id
    await full.get(f"/api/v1/jobs/{beyond.job_id}")


async def test_a_direct_execution_that_finds_no_room_is_told_so(full: House) -> None:
    for _ in range(2):
        await full.submit()
    await full.say(fired())
    await full.ears.wait(ScheduleConfirmed)
    asked = ExecutionRequested(execution_id=new_id(), task_id=new_id(), job_id=new_id(), attempt=1, target=TARGET)
    await full.say(asked)
    [refused] = await full.ears.wait(ExecutionRefused)
    assert (refused.execution_id, refused.reason) == (asked.execution_id, RefusalReason.OVERLOADED)
