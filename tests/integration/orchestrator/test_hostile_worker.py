"""A worker that reports for others, on executions of its own invention, and before its time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator.watch import Watch
from schemas.events import TaskScheduled
from shared.held_reports import HeldReports
from shared.ids import new_id
from tests.integration.orchestrator.conftest import DEADLINE, House, finished, scheduled, started

FOREIGN = 'hodei_foreign_reports_total{{kind="{}"}}'


def forged(placed: TaskScheduled, **other: Any) -> TaskScheduled:
    """What a worker says that the execution was placed on."""
    return placed.model_copy(update={"worker_id": new_id()} | other)


async def handled(house: House, count: int) -> None:
    """Wait until so many reports and placements were handled."""
    consumer = house.consumer("orchestrator-runs")
    await consumer.until(lambda: consumer.handled >= count)


@pytest.mark.parametrize("remembered", [True, False])
async def test_only_the_worker_that_an_execution_is_placed_on_reports_on_it(house: House, remembered: bool) -> None:
    job = await house.submit()
    placed = scheduled(await house.queued(job))
    await house.say(placed)
    if not remembered:
        await house.report(started(placed))
        await handled(house, 2)
        house.part(Watch)._missed()  # the runs in memory are forgotten
    await house.report(finished(forged(placed), "failed", exit_code=1))
    await house.report(finished(forged(placed), outputs={"TAG": "forged"}))
    if remembered:
        await house.report(started(placed))
    await house.report(finished(placed, outputs={"TAG": "true"}))
    over = await house.over(job)
    [task] = over["tasks"]
    assert (over["status"], task["attempt"], task["outputs"]) == ("succeeded", 1, {"TAG": "true"})
    assert [(one["id"], one["worker_id"]) for one in task["executions"]] == [(placed.execution_id, placed.worker_id)]
    assert await house.metric(FOREIGN.format("report")) == 2


async def test_a_report_that_comes_before_its_placement_counts_when_that_comes(house: House) -> None:
    job = await house.submit()
    placed = scheduled(await house.queued(job))
    held = house.part(HeldReports)
    await house.report(started(placed))
    await house.report(finished(placed))
    await handled(house, 2)
    assert len(held) == 2
    await house.say(placed)
    over = await house.over(job)
    [task] = over["tasks"]
    assert (over["status"], task["executions"][0]["worker_id"]) == ("succeeded", placed.worker_id)
    assert await house.metric(FOREIGN.format("unplaced")) == 0


async def test_an_invented_execution_is_given_up_and_shown_nowhere(house: House) -> None:
    job = await house.submit()
    order = await house.queued(job)
    held = house.part(HeldReports)
    held._pauses = (0.01,)
    invented = scheduled(order)
    await house.report(finished(invented, "failed", exit_code=1))
    async with asyncio.timeout(DEADLINE):
        while await house.metric(FOREIGN.format("unplaced")) < 1:
            await held.next_run()
    assert len(held) == 0
    assert (await house.get(f"/api/v1/jobs/{job['id']}"))["tasks"][0]["executions"] == []
    placed = scheduled(order)
    await house.say(placed)
    await house.report(finished(invented, "failed", exit_code=1))
    await house.report(finished(placed))
    over = await house.over(job)
    assert (over["status"], [one["id"] for one in over["tasks"][0]["executions"]]) == (
        "succeeded",
        [placed.execution_id],
    )


async def test_a_replay_of_an_earlier_attempt_changes_nothing(house: House) -> None:
    job = await house.submit(retry={"max_attempts": 2, "delay": 0})
    first = scheduled(await house.queued(job))
    await house.say(first)
    outcome = finished(first, "failed", exit_code=1)
    await house.report(outcome)
    second = scheduled(await house.queued(job, attempt=2))
    await house.say(second)
    await house.report(outcome)
    await house.report(finished(second))
    over = await house.over(job)
    assert over["status"] == "succeeded"
    assert [one["status"] for one in over["tasks"][0]["executions"]] == ["failed", "succeeded"]
