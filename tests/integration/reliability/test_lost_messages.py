"""Every row of the table in docs/reliability.md: the message is lost for good, and the job moves on all the same.

A message is lost by taking away who must hear it, having JetStream forget all that it stores, and starting the service
again.
"""

from __future__ import annotations

import pytest

from schemas.events import (
    ExecutionLost,
    ExecutionRequested,
    JobReprioritized,
    ScheduleConfirmed,
    ScheduleCreated,
    ScheduleFinished,
    ScheduleFired,
    TaskCancelRequested,
    TaskExpired,
    TaskQueued,
    TaskScheduled,
    TaskWithdrawn,
    WorkerOffline,
    WorkerStopped,
)
from schemas.states import WorkerProcessStatus
from shared.ids import new_id
from tests.integration.reliability.conftest import House, ServiceName

NOWHERE = {"requires": {"of": "no worker"}}


async def test_tasks_queued_is_published_again_for_a_scheduler_that_has_never_heard_of_the_task(house: House) -> None:
    async with house.worker() as worker:
        async with house.away("scheduler"):
            job = await house.submit()
            await house.ears.wait(TaskQueued)
        order = await worker.ordered()
        await house.say(worker.finished(order, status="succeeded", exit_code=0))
        assert (await house.over(job))["status"] == "succeeded"


async def test_tasks_scheduled_is_published_again_for_a_worker_manager_that_has_never_heard_of_it(house: House) -> None:
    async with house.worker() as worker:
        async with house.away("worker_manager"):
            job = await house.submit()
            await house.ears.wait(TaskScheduled)
        order = await worker.ordered()
        await house.say(worker.finished(order))
        assert (await house.over(job))["status"] == "failed"
        execution = await house.execution(order.execution_id, until="failed")
        assert (execution["exit_code"], execution["worker_name"]) == (7, "played")


@pytest.mark.parametrize("service", ["orchestrator", "scheduler", "worker_manager"])
async def test_an_outcome_is_told_again_with_its_exit_code(house: House, service: ServiceName) -> None:
    async with house.worker(slots=1) as worker:
        job = await house.submit()
        order = await worker.ordered()
        await house.say(worker.started(order))
        await house.execution(order.execution_id, until="running")
        async with house.away(service):
            await house.say(worker.finished(order, outputs={"TAG": "v1"}))
            if service != "worker_manager":
                await house.execution(order.execution_id, until="failed")
        detail = await house.over(job)
        assert (detail["status"], detail["tasks"][0]["reason"], detail["tasks"][0]["exit_code"]) == (
            "failed",
            "exit_code",
            7,
        )
        assert detail["tasks"][0]["outputs"] == {"TAG": "v1"}
        assert (await house.execution(order.execution_id, until="failed"))["exit_code"] == 7
        await house.submit()
        await worker.ordered(2)  # its slot is free
        assert not house.ears.count(ExecutionLost)


async def test_an_outcome_that_only_the_scheduler_recorded_is_told_to_both_others(house: House) -> None:
    async with house.worker(slots=1) as worker:
        job = await house.submit()
        order = await worker.ordered()
        await house.execution(order.execution_id, until="pending")
        async with house.away("orchestrator", "worker_manager"):
            await house.say(worker.finished(order, outputs={"TAG": "v1"}))
            await house.until_free(worker)
        [task] = (await house.over(job))["tasks"]
        assert (task["exit_code"], task["outputs"]) == (7, {"TAG": "v1"})
        assert (await house.execution(order.execution_id, until="failed"))["exit_code"] == 7


async def test_a_start_that_was_lost_is_told_again(house: House) -> None:
    async with house.worker() as worker:
        job = await house.submit()
        order = await worker.ordered()
        await house.execution(order.execution_id, until="pending")
        async with house.away("orchestrator"):
            await house.say(worker.started(order))
            await house.execution(order.execution_id, until="running")
        await house.task(job, until="running")


async def test_a_start_that_everybody_missed_is_seen_in_the_heartbeats(house: House) -> None:
    async with house.worker() as worker:
        job = await house.submit()
        order = await worker.ordered()
        await house.task(job, until="running")
        assert (await house.execution(order.execution_id, until="running"))["started_at"]


async def test_an_execution_that_was_given_back_is_placed_again_though_the_scheduler_missed_it(house: House) -> None:
    async with house.worker() as worker:
        job = await house.submit()
        first = await worker.ordered()
        await house.execution(first.execution_id, until="pending")
        async with house.away("scheduler"):
            await house.say(worker.returned(first))
            await house.execution(first.execution_id, until="cancelled")
        second = await worker.ordered(2)
        assert second.execution_id != first.execution_id
        await house.say(worker.finished(second, status="succeeded", exit_code=0))
        assert (await house.over(job))["status"] == "succeeded"


async def test_an_execution_that_was_given_back_is_closed_though_the_worker_manager_missed_it(house: House) -> None:
    async with house.worker() as worker:
        await house.submit()
        first = await worker.ordered()
        await house.execution(first.execution_id, until="pending")
        async with house.away("worker_manager"):
            await house.say(worker.returned(first))
            await house.ears.wait(TaskScheduled, 2)
        await worker.ordered(2)
        assert (await house.execution(first.execution_id, until="cancelled"))["reason"] == "returned"


@pytest.mark.parametrize("service", ["orchestrator", "worker_manager"])
async def test_a_loss_is_told_again(house: House, service: ServiceName) -> None:
    async with house.worker() as worker:
        job = await house.submit(max_crashes=0)
        order = await worker.ordered()
        await house.say(worker.started(order))
        await house.execution(order.execution_id, until="running")
        await house.stop(service)
    await house.ears.wait(ExecutionLost)  # the worker is gone
    await house.lose()
    await house.start(service)
    detail = await house.over(job)
    assert (detail["status"], detail["tasks"][0]["reason"]) == ("failed", "lost")
    assert (await house.execution(order.execution_id, until="lost"))["detail"]


async def test_a_priority_that_the_scheduler_missed_is_in_the_orchestrators_question(house: House) -> None:
    job = await house.submit(**NOWHERE)
    await house.until_queued(job)
    async with house.away("scheduler"):
        await house.call("orchestrator", "PATCH", f"/jobs/{job['id']}", {"priority": "critical"})
        await house.ears.wait(JobReprioritized)
    await house.until_row("select priority = 3 from tasks where job_id = $1", job["id"])


async def test_a_cancellation_that_the_scheduler_missed_ends_what_waits(house: House) -> None:
    job = await house.submit(**NOWHERE)
    await house.until_queued(job)
    async with house.away("scheduler"):
        await house.call("orchestrator", "POST", f"/jobs/{job['id']}/cancel")
        await house.ears.wait(TaskCancelRequested)
    assert (await house.over(job))["status"] == "cancelled"


async def test_a_cancellation_that_the_scheduler_missed_stops_what_runs(house: House) -> None:
    async with house.worker() as worker:
        job = await house.submit()
        order = await worker.ordered()
        await house.say(worker.started(order))
        await house.task(job, until="running")
        async with house.away("scheduler"):
            await house.call("orchestrator", "POST", f"/jobs/{job['id']}/cancel")
            await house.ears.wait(TaskCancelRequested)
        await worker.until(lambda: order.execution_id in worker.stopped)


async def test_a_stop_that_the_worker_manager_missed_is_said_again(house: House) -> None:
    async with house.worker() as worker:
        job = await house.submit()
        order = await worker.ordered()
        await house.say(worker.started(order))
        await house.task(job, until="running")
        async with house.away("worker_manager"):
            await house.call("orchestrator", "POST", f"/jobs/{job['id']}/cancel")
        await worker.until(lambda: order.execution_id in worker.stopped)


async def test_a_withdrawal_that_the_orchestrator_missed_is_told_again(house: House) -> None:
    job = await house.submit(**NOWHERE)
    await house.until_queued(job)
    await house.stop("scheduler")
    await house.call("orchestrator", "POST", f"/jobs/{job['id']}/cancel")
    await house.ears.wait(TaskCancelRequested)
    async with house.away("orchestrator"):
        await house.start("scheduler")
        await house.ears.wait(TaskWithdrawn)
    assert (await house.over(job))["status"] == "cancelled"


async def test_an_expiry_that_the_orchestrator_missed_is_told_again(house: House) -> None:
    job = await house.submit(**NOWHERE, queue_timeout=4)
    await house.until_queued(job)
    async with house.away("orchestrator"):
        await house.ears.wait(TaskExpired)
    detail = await house.over(job)
    assert (detail["status"], detail["tasks"][0]["reason"]) == ("failed", "queue_timeout")


async def test_a_request_for_an_execution_that_the_orchestrator_missed_is_published_again(house: House) -> None:
    async with house.worker() as worker:
        async with house.away("orchestrator"):
            asked = await house.call("worker_manager", "POST", "/execute", {"command": "true"})
            await house.ears.wait(ExecutionRequested)
        order = await worker.ordered()
        assert order.execution_id == asked["id"]
        await house.say(worker.finished(order))
        assert (await house.execution(asked["id"], until="failed"))["exit_code"] == 7


async def test_a_refusal_that_the_worker_manager_missed_is_told_again(house: House) -> None:
    await house.stop("orchestrator")
    unknown = {"job_id": "01890000-0000-7000-8000-000000000000"}
    asked = await house.call("worker_manager", "POST", "/execute", unknown)
    await house.stop("worker_manager")
    await house.start("orchestrator")
    await house.ears.wait(ExecutionRequested)
    await house.until_handled("orchestrator-requests", 1)
    await house.lose()
    await house.start("worker_manager")
    assert "there is no job" in (await house.execution(asked["id"], until="failed"))["detail"]


async def test_a_schedule_that_the_orchestrator_missed_is_published_again_and_confirmed(house: House) -> None:
    target = {"command": "true", "run_at": "2100-01-01T00:00:00Z"}
    async with house.away("orchestrator"):
        await house.call("scheduler", "POST", "/schedule", target)
        await house.ears.wait(ScheduleCreated)
    await house.ears.wait(ScheduleConfirmed)
    await house.until_row("select heard_at is not null from schedules")


async def test_a_schedule_of_nothing_is_refused_though_it_was_missed(house: House) -> None:
    async with house.away("orchestrator"):
        target = {"job_id": new_id(), "run_at": "2100-01-01T00:00:00Z"}
        schedule = await house.call("scheduler", "POST", "/schedule", target)
        await house.ears.wait(ScheduleCreated)
    await house.schedule(schedule, until="failed")


async def test_a_firing_that_the_orchestrator_missed_makes_its_job(house: House) -> None:
    async with house.away("orchestrator"):
        schedule = await house.call("scheduler", "POST", "/schedule", {"command": "true"})
        fired = await house.ears.wait(ScheduleFired)
    await house.ears.wait(ScheduleConfirmed, where=lambda one: one.job_id == fired.job_id)
    assert (await house.call("orchestrator", "GET", f"/jobs/{fired.job_id}"))["schedule_id"] == schedule["id"]
    await house.until_row("select heard_at is not null from firings")


async def test_each_firing_of_a_schedule_that_the_orchestrator_missed_makes_its_job(house: House) -> None:
    schedule = await house.call("scheduler", "POST", "/schedule", {"command": "true", "cron": "0 0 1 1 *"})
    async with house.away("orchestrator"):
        for _ in range(2):
            await house.call("scheduler", "POST", f"/scheduled/{schedule['id']}/trigger")
        await house.ears.wait(ScheduleFired, 2)
    firings = await house.call("scheduler", "GET", f"/scheduled/{schedule['id']}/history")
    for job_id in [firing["job_id"] for firing in firings]:
        await house.ears.wait(ScheduleConfirmed, where=lambda one, job_id=job_id: one.job_id == job_id)
        assert (await house.call("orchestrator", "GET", f"/jobs/{job_id}"))["schedule_id"] == schedule["id"]
    await house.until_row("select bool_and(heard_at is not null) from firings")


async def test_the_end_of_a_schedules_job_that_the_scheduler_missed_is_told_again(house: House) -> None:
    async with house.worker() as worker:
        schedule = await house.call("scheduler", "POST", "/schedule", {"command": "true", "cron": "0 0 1 1 *"})
        await house.call("scheduler", "POST", f"/scheduled/{schedule['id']}/trigger")
        order = await worker.ordered()
        await house.until_row("select heard_at is not null from firings")
        async with house.away("scheduler"):
            await house.say(worker.finished(order))
            await house.ears.wait(ScheduleFinished)
        await house.until_row("select outcome = 'failed' and reason = 'exit_code' from firings")


async def test_a_worker_over_rest_goes_offline_though_its_registration_was_missed(house: House) -> None:
    await house.call("scheduler", "POST", "/workers", {"type": "rust"})
    await house.ears.wait(WorkerOffline)


async def test_a_worker_whose_end_the_scheduler_missed_is_found_by_its_silence(house: House) -> None:
    async with house.worker() as worker:
        job = await house.submit(max_crashes=0)
        order = await worker.ordered()
        await house.say(worker.started(order))
        await house.execution(order.execution_id, until="running")
        await house.stop("scheduler")
    await house.say(WorkerStopped(worker_id=worker.id, status=WorkerProcessStatus.FAILED, clean=False, detail="killed"))
    await house.lose()
    await house.start("scheduler")
    assert (await house.ears.wait(ExecutionLost)).execution_id == order.execution_id
    detail = await house.over(job)
    assert (detail["status"], detail["tasks"][0]["reason"]) == ("failed", "lost")


async def test_a_drain_and_its_end_of_which_the_leader_missed_the_events_are_found_with_the_next_heartbeat(
    house: House,
) -> None:
    async with house.worker() as worker:
        await house.until_known(worker)
        for drained in (True, False):
            # What the request leaves in the tables; its event is lost.
            await house.database.execute("update workers set drained = $2 where id = $1", worker.id, drained)
            await worker.until(lambda drained=drained: worker.draining is drained)
        await house.submit()
        await worker.ordered()


async def test_a_worker_whose_removal_the_leader_missed_loses_what_it_had_at_the_end_of_its_lease(
    house: House,
) -> None:
    async with house.worker() as worker:
        job = await house.submit(max_crashes=0)
        order = await worker.ordered()
        await house.say(worker.started(order))
        await house.execution(order.execution_id, until="running")
    # What the request leaves in the tables; its event is lost.
    await house.database.execute("delete from workers where id = $1", worker.id)
    assert (await house.ears.wait(ExecutionLost)).execution_id == order.execution_id
    detail = await house.over(job)
    assert (detail["status"], detail["tasks"][0]["reason"]) == ("failed", "lost")
