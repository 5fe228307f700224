"""The priority of a job is changed: what is stored, told, and in the orders that follow."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.recall import START
from orchestrator.store.runs import RunStore
from orchestrator.unit_of_work import UnitOfWork
from schemas.events import JobReprioritized, TaskQueued
from schemas.states import JobStatus
from shared.clock import now
from shared.ids import new_id
from shared.outbox import Outbox
from tests.integration.orchestrator.conftest import House, finished, lost, scheduled
from tests.integration.orchestrator.test_runs import _elsewhere as another_replica

STEPS = ({"name": "a", "command": "true"}, {"name": "b", "command": "true", "depends_on": ["a"]})


async def prioritize(house: House, job: dict[str, str], priority: str) -> dict[str, str]:
    found: dict[str, str] = await house.call("PATCH", f"/api/v1/jobs/{job['id']}", {"priority": priority})
    return found


async def test_a_change_is_answered_told_once_and_part_of_the_timeline(house: House) -> None:
    job = await house.submit(priority="low")
    answered = await prioritize(house, job, "high")
    assert {name: value for name, value in answered.items() if name != "priority"} == {
        name: job[name] for name in answered if name != "priority"
    }
    assert answered["priority"] == (await house.get(f"/api/v1/jobs/{job['id']}"))["priority"] == "high"
    assert [one["id"] for one in await house.get("/api/v1/jobs?priority=high")] == [job["id"]]
    await prioritize(house, job, "high")
    await prioritize(house, job, "critical")
    told = await house.ears.wait(JobReprioritized, 2)
    assert [(one.previous, one.priority, one.priority_changes) for one in told] == [
        ("low", "high", 1),
        ("high", "critical", 2),
    ]
    timeline = await house.get(f"/api/v1/jobs/{job['id']}/events")
    assert [event["type"] for event in timeline if "reprioritized" in event["type"]] == ["jobs.reprioritized"] * 2


async def test_later_steps_and_retries_have_the_new_priority_and_so_has_a_reminder(house: House) -> None:
    pipeline = await house.pipeline({**STEPS[0], "retry": {"max_attempts": 2}}, STEPS[1])
    job = await house.submit(pipeline_id=pipeline["id"])
    first = await house.queued(job, "a")
    assert (first.priority, first.priority_changes) == ("normal", None)
    await prioritize(house, job, "critical")
    outbox = Outbox(house.database, house.bus, source="orchestrator")
    await outbox.start()
    store = RunStore(house.database)
    [overdue] = await store.overdue(JobStatus.PENDING, now() + timedelta(seconds=1), START, 10)
    assert (overdue.priority, overdue.priority_changes) == ("critical", 1)
    assert await another_replica(house, outbox).remind([overdue]) == 1
    await outbox.stop()
    [_, reminder] = await house.ears.wait(TaskQueued, 2, where=lambda one: one.task_id == first.task_id)
    assert reminder == first.model_copy(update={"priority": "critical", "priority_changes": 1})
    await house.say(lost(scheduled(first)))
    second = await house.queued(job, "a", attempt=2)
    await house.say(finished(scheduled(second), "failed", exit_code=1))
    third = await house.queued(job, "a", attempt=3)
    await house.say(finished(scheduled(third)))
    last = await house.queued(job, "b")
    assert [(one.priority, one.priority_changes) for one in (second, third, last)] == [("critical", 1)] * 3
    await house.say(finished(scheduled(last)))
    assert (await house.over(job))["priority"] == "critical"


async def test_a_job_that_another_replica_has_in_memory_keeps_the_change(house: House) -> None:
    job = await house.submit(pipeline_id=(await house.pipeline(*STEPS))["id"])
    placed = scheduled(await house.queued(job, "a"))
    await house.say(placed)
    outbox = Outbox(house.database, house.bus, source="orchestrator")
    await outbox.start()
    moment = now()
    other: UnitOfWork = another_replica(house, outbox)
    await other.change([job["id"]], lambda run: run.prioritize("low", moment), moment)
    await house.ears.wait(JobReprioritized)
    await house.say(finished(placed))
    order = await house.queued(job, "b")
    await outbox.stop()
    assert (order.priority, order.priority_changes) == ("low", 1)


async def test_what_is_over_unknown_or_not_a_priority_is_refused(house: House) -> None:
    job = await house.submit()
    await house.say(finished(scheduled(await house.queued(job))))
    await house.over(job)
    problem = await house.call("PATCH", f"/api/v1/jobs/{job['id']}", {"priority": "high"}, status=409)
    assert problem["detail"] == f"job {job['id']} has already ended: succeeded"
    await house.call("PATCH", f"/api/v1/jobs/{new_id()}", {"priority": "high"}, status=404)


@pytest.mark.parametrize("body", [{}, {"priority": "urgent"}, {"priority": None}, {"prio": "high"}, {"name": "x"}])
async def test_a_change_without_a_valid_priority_is_422(house: House, body: dict[str, object]) -> None:
    await house.call("PATCH", f"/api/v1/jobs/{new_id()}", body, status=422)
