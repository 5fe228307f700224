"""Jobs of schedules: each end of one is told to its schedule, whatever ended it; other jobs tell nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from orchestrator.undeliverable import UndeliverableTasks
from schemas.events import (
    ExecutionRequested,
    JobTarget,
    ScheduleConfirmed,
    ScheduleFinished,
    ScheduleFired,
    TaskCancelRequested,
    TaskExpired,
)
from schemas.specs import CommandSpec
from schemas.states import JobStatus, Reason
from shared.clock import now
from shared.ids import new_id
from shared.outbox import Outbox
from tests.integration.orchestrator.conftest import House, finished, scheduled, started
from tests.integration.orchestrator.test_runs import _elsewhere as another_replica

End = Callable[[House, dict[str, str]], Awaitable[object]]


async def fire(house: House, target: JobTarget | None = None) -> ScheduleFired:
    """A firing whose job was made."""
    command = JobTarget(command=CommandSpec(command="true"))
    fired = ScheduleFired(schedule_id=new_id(), job_id=new_id(), target=target or command, due_at=now())
    await house.say(fired)
    await house.ears.wait(ScheduleConfirmed, where=lambda one: one.job_id == fired.job_id)
    return fired


async def succeed(house: House, job: dict[str, str]) -> None:
    placed = scheduled(await house.queued(job))
    await house.say(placed)
    await house.say(started(placed))
    await house.say(finished(placed))


async def fail(house: House, job: dict[str, str]) -> None:
    await house.say(finished(scheduled(await house.queued(job)), "failed", exit_code=7))


async def expire(house: House, job: dict[str, str]) -> None:
    order = await house.queued(job)
    await house.say(TaskExpired(task_id=order.task_id, job_id=order.job_id, attempt=1))


async def cancel(house: House, job: dict[str, str]) -> None:
    await house.post(f"/api/v1/jobs/{job['id']}/cancel", status=202)
    placed = scheduled(await house.queued(job))
    await house.say(finished(placed, "cancelled", exit_code=None, reason=Reason.CANCELLED))


async def undeliverable(house: House, job: dict[str, str]) -> None:
    order = await house.queued(job)
    outbox = Outbox(house.database, house.bus, source="orchestrator")
    await outbox.start()
    await UndeliverableTasks(another_replica(house, outbox))([order])
    await house.ears.wait(ScheduleFinished)
    await outbox.stop()


@pytest.mark.parametrize(
    ("end", "status", "reason"),
    [
        (succeed, JobStatus.SUCCEEDED, None),
        (fail, JobStatus.FAILED, Reason.EXIT_CODE),
        (expire, JobStatus.FAILED, Reason.QUEUE_TIMEOUT),
        (cancel, JobStatus.CANCELLED, Reason.CANCELLED),
        (undeliverable, JobStatus.FAILED, Reason.TOO_LARGE),
    ],
)
async def test_the_end_of_its_job_is_told_to_the_schedule(
    house: House, end: End, status: JobStatus, reason: Reason | None
) -> None:
    fired = await fire(house)
    job = {"id": fired.job_id}
    await end(house, job)
    over = await house.over(job)
    [told] = await house.ears.wait(ScheduleFinished)
    assert (told.schedule_id, told.job_id) == (fired.schedule_id, fired.job_id)
    assert (told.status, told.reason) == (status, reason)
    assert told.model_dump(mode="json")["finished_at"] == over["finished_at"]
    timeline = await house.get(f"/api/v1/jobs/{fired.job_id}/events")
    assert [event["type"] for event in timeline][-1] == f"jobs.{status.value}"


async def test_a_job_at_its_time_limit_and_one_without_steps_are_told_as_well(house: House) -> None:
    empty = await house.pipeline()
    limited = await house.pipeline({"name": "b", "command": "true"}, timeout=0.1)
    first = await fire(house, JobTarget(pipeline_id=empty["id"]))
    second = await fire(house, JobTarget(pipeline_id=limited["id"]))
    placed = scheduled(await house.queued({"id": second.job_id}))
    await house.say(placed)
    await house.ears.wait(TaskCancelRequested)
    await house.say(finished(placed, "cancelled", exit_code=None, reason=Reason.JOB_TIMEOUT))
    told = {one.job_id: one for one in await house.ears.wait(ScheduleFinished, 2)}
    assert (told[first.job_id].status, told[first.job_id].reason) == (JobStatus.SUCCEEDED, None)
    assert (told[second.job_id].status, told[second.job_id].reason) == (JobStatus.FAILED, Reason.JOB_TIMEOUT)


async def test_a_firing_that_is_told_again_after_the_end_of_its_job_is_answered_with_its_end(house: House) -> None:
    fired = await fire(house)
    await house.say(fired)
    await house.ears.wait(ScheduleConfirmed, 2)
    await succeed(house, {"id": fired.job_id})
    [first] = await house.ears.wait(ScheduleFinished)
    await house.say(fired)
    told = await house.ears.wait(ScheduleFinished, 2)
    assert told[1].model_dump() == first.model_dump()


async def test_jobs_that_no_schedule_made_tell_no_schedule(house: House) -> None:
    asked = ExecutionRequested(
        execution_id=new_id(),
        task_id=new_id(),
        job_id=new_id(),
        attempt=1,
        target=JobTarget(command=CommandSpec(command="true")),
    )
    await house.say(asked)
    job = await house.submit()
    for one in ({"id": asked.job_id}, job):
        await succeed(house, one)
        await house.over(one)
    fired = await fire(house)
    await succeed(house, {"id": fired.job_id})
    [told] = await house.ears.wait(ScheduleFinished)
    assert told.job_id == fired.job_id
