"""Jobs of schedules: each end of one is told to its schedule, whatever ended it; other jobs tell nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from orchestrator.store.firings import KEPT, FiringStore
from orchestrator.undeliverable import UndeliverableTasks
from schemas.concurrency import Overlap
from schemas.events import (
    ExecutionRequested,
    JobTarget,
    ScheduleConfirmed,
    ScheduleFinished,
    ScheduleFired,
    ScheduleRefused,
    TaskCancelRequested,
    TaskExpired,
    TaskQueued,
)
from schemas.refusals import RefusalReason
from schemas.specs import CommandSpec
from schemas.states import JobStatus, Reason
from shared.clock import now
from shared.ids import new_id
from shared.outbox import Outbox
from tests.integration.orchestrator.conftest import House, finished, scheduled, started
from tests.integration.orchestrator.test_runs import _elsewhere as another_replica

End = Callable[[House, dict[str, str]], Awaitable[object]]


def firing(target: JobTarget | None = None, schedule_id: str | None = None) -> ScheduleFired:
    command = JobTarget(command=CommandSpec(command="true"), name="backup")
    return ScheduleFired(schedule_id=schedule_id or new_id(), job_id=new_id(), target=target or command, due_at=now())


async def fire(house: House, target: JobTarget | None = None, *, schedule_id: str | None = None) -> ScheduleFired:
    """A firing whose job was made."""
    fired = firing(target, schedule_id)
    await house.say(fired)
    await house.ears.wait(ScheduleConfirmed, where=lambda one: one.job_id == fired.job_id)
    return fired


def overlapping(overlap: Overlap, **fields: object) -> JobTarget:
    values = {"command": {"command": "true"}, "name": "backup", "overlap": overlap}
    return JobTarget.model_validate(values | fields)


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


async def test_a_firing_whose_job_was_deleted_makes_no_second_one(house: House) -> None:
    pipeline = await house.pipeline({"name": "a", "command": "true"})
    first, second = await fire(house, JobTarget(pipeline_id=pipeline["id"])), await fire(house)
    for fired in (first, second):
        await succeed(house, {"id": fired.job_id})
        await house.over({"id": fired.job_id})
        await house.call("DELETE", f"/api/v1/jobs/{fired.job_id}", status=204)
    await house.call("DELETE", f"/api/v1/pipelines/{pipeline['id']}", status=204)
    for fired in (first, second):
        await house.say(fired)
        await house.ears.wait(ScheduleConfirmed, 2, where=lambda one, id=fired.job_id: one.job_id == id)
        assert (await house.call("GET", f"/api/v1/jobs/{fired.job_id}", status=404))["status"] == 404
    assert not [one for one in house.ears.heard if isinstance(one, ScheduleRefused)]
    firings = FiringStore(house.database)
    assert await firings.purge_deleted(10) == 0
    await house.database.execute("update deleted_firings set deleted_at = deleted_at - $1::interval", 2 * KEPT)
    assert await firings.purge_deleted(1) == 1


async def test_a_firing_whose_job_was_made_stays_confirmed_when_its_pipeline_is_archived(house: House) -> None:
    pipeline = await house.pipeline({"name": "a", "command": "true"})
    fired = await fire(house, JobTarget(pipeline_id=pipeline["id"]))
    await house.call("DELETE", f"/api/v1/pipelines/{pipeline['id']}", status=204)
    await house.say(fired)
    await house.ears.wait(ScheduleConfirmed, 2)
    await succeed(house, {"id": fired.job_id})
    await house.ears.wait(ScheduleFinished)
    await house.say(fired)
    await house.ears.wait(ScheduleFinished, 2)
    assert not [one for one in house.ears.heard if isinstance(one, ScheduleRefused)]


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


# ------------------------------------------------------------------ a firing while a former job is not over


async def test_a_schedule_that_allows_overlap_runs_its_jobs_side_by_side(house: House) -> None:
    first = await fire(house, overlapping("allow"))
    second = await fire(house, overlapping("allow"), schedule_id=first.schedule_id)
    for fired in (first, second):
        await house.queued({"id": fired.job_id})
    assert not await house.database.fetch_value("select count(*) from claims")


async def test_a_schedule_that_skips_is_refused_a_second_job_until_the_first_is_over(house: House) -> None:
    target = overlapping("skip")
    first = await fire(house, target)
    second = firing(target, first.schedule_id)
    await house.say(second)
    [refused] = await house.ears.wait(ScheduleRefused)
    assert (refused.job_id, refused.reason) == (second.job_id, RefusalReason.OVERLAP)
    assert refused.detail == (
        f"schedule {first.schedule_id} runs one job at a time, and job {first.job_id} (backup) is not over"
    )
    await house.say(first)
    await house.ears.wait(ScheduleConfirmed, 2, where=lambda one: one.job_id == first.job_id)
    await fire(house, target)  # of another schedule
    await house.get(f"/api/v1/jobs/{second.job_id}", status=404)
    await succeed(house, {"id": first.job_id})
    await house.over({"id": first.job_id})
    await house.say(second)
    repeated = await house.ears.wait(ScheduleRefused, 2)
    assert repeated[1].model_dump() == refused.model_dump(), "a firing that was refused stays refused"
    await fire(house, target, schedule_id=first.schedule_id)
    await house.get(f"/api/v1/jobs/{second.job_id}", status=404)


async def test_refusals_are_kept_for_as_long_as_a_firing_can_be_told_again(house: House) -> None:
    gone = JobTarget(pipeline_id=new_id())
    old, new = firing(gone), firing(gone)
    await house.say(old)
    await house.say(new)
    await house.ears.wait(ScheduleRefused, 2)
    outdated = "update refused_firings set refused_at = refused_at - $2::interval where job_id = $1::uuid"
    await house.database.execute(outdated, old.job_id, KEPT + timedelta(seconds=1))
    assert await FiringStore(house.database).purge(10) == 1
    assert await house.database.fetch_value("select job_id::text from refused_firings") == new.job_id


async def test_a_job_that_waits_for_another_key_counts_as_not_over(house: House) -> None:
    holder = await house.submit(concurrency_key="disk")
    target = overlapping("skip", concurrency_key="disk")
    first = await fire(house, target)
    assert (await house.get(f"/api/v1/jobs/{first.job_id}"))["waiting_for"] == (
        f"the concurrency key disk and the former job of schedule {first.schedule_id}"
    )
    second = firing(target, first.schedule_id)
    await house.say(second)
    [refused] = await house.ears.wait(ScheduleRefused)
    assert refused.detail == (
        f"schedule {first.schedule_id} runs one job at a time, and a former one that waits is not over"
    )
    await succeed(house, holder)
    await succeed(house, {"id": first.job_id})
    await house.over({"id": first.job_id})


async def test_a_schedule_that_queues_starts_the_next_job_when_the_former_is_over(house: House) -> None:
    target = overlapping("queue")
    first = await fire(house, target)
    second, third = [await fire(house, target, schedule_id=first.schedule_id) for _ in range(2)]
    waits = await house.get(f"/api/v1/jobs/{second.job_id}")
    assert (waits["status"], waits["tasks"][0]["status"]) == ("pending", "pending")
    assert waits["waiting_for"] == f"the former job of schedule {first.schedule_id}"
    assert (waits["key_wait"]["key"], waits["key_wait"]["position"], waits["key_wait"]["waiting"]) == (None, 1, 2)
    assert waits["key_wait"]["summary"] == (
        f"waits: schedule {first.schedule_id} runs one job at a time, and job {first.job_id} (backup) is not over; "
        "it is the next one"
    )
    for fired in (first, second, third):
        await house.queued({"id": fired.job_id})
        orders = [one.job_id for one in house.ears.heard if isinstance(one, TaskQueued)]
        assert orders[-1] == fired.job_id, "no later one has begun"
        await succeed(house, {"id": fired.job_id})
        await house.over({"id": fired.job_id})
    ends = await house.ears.wait(ScheduleFinished, 3)
    assert [one.job_id for one in ends] == [first.job_id, second.job_id, third.job_id]


async def test_a_schedule_that_cancels_starts_its_new_job_once_the_former_has_stopped(house: House) -> None:
    target = overlapping("cancel_previous")
    first = await fire(house, target)
    placed = scheduled(await house.queued({"id": first.job_id}))
    await house.say(placed)
    second = await fire(house, target, schedule_id=first.schedule_id)
    [asked] = await house.ears.wait(TaskCancelRequested)
    assert (asked.job_id, asked.reason) == (first.job_id, Reason.SUPERSEDED)
    third = await fire(house, target, schedule_id=first.schedule_id)
    [told] = await house.ears.wait(ScheduleFinished)
    assert (told.job_id, told.status, told.reason) == (second.job_id, JobStatus.CANCELLED, Reason.SUPERSEDED)
    assert not [one for one in house.ears.heard if isinstance(one, TaskQueued) and one.job_id == third.job_id]
    await house.say(finished(placed, "cancelled", exit_code=None, reason=Reason.SUPERSEDED))
    await succeed(house, {"id": third.job_id})
    over = await house.get(f"/api/v1/jobs/{first.job_id}")
    assert (over["status"], over["reason"]) == ("cancelled", "superseded")
    assert over["detail"] == f"job {second.job_id} of the same schedule has taken its place"
    ends = await house.ears.wait(ScheduleFinished, 3)
    assert ends[-1].job_id == third.job_id
    assert not await house.database.fetch_value("select count(*) from claims")
