"""Tasks come in over the bus and go out to agents, whatever happens on the way."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from schemas.events import (
    ExecutionCancelRequested,
    ExecutionLost,
    ExecutionReturned,
    TaskCancelRequested,
    TaskExpired,
    TaskScheduled,
    TaskWithdrawn,
    WorkerOffline,
    WorkerRegistered,
    WorkerStopped,
)
from schemas.states import Reason, WorkerProcessStatus
from schemas.subjects import EVENTS, SCHEDULER_PLACEMENT
from shared.ids import new_id
from tests.integration.scheduler.conftest import DEADLINE, Agent, House, Opener, finished, queued, scheduler_process


async def explained(house: House, task_id: str) -> dict[str, object]:
    found = await house.get(f"/api/v1/tasks/{task_id}/explain")
    assert isinstance(found, dict)
    return found


@pytest.mark.smoke
async def test_a_task_is_placed_and_its_end_makes_room_for_the_next(house: Opener) -> None:
    here = await house()
    agent = await here.agent(slots=1)
    now = datetime.now(UTC)
    first, second = queued(queued_at=now), queued(queued_at=now + timedelta(seconds=1))
    await here.say(first, second)
    [placed] = await here.ears.wait(TaskScheduled)
    assert (placed.task_id, placed.worker_id, placed.incarnation) == (first.task_id, agent.id, agent.incarnation)
    assert placed.run == first.run
    assert (await explained(here, first.task_id))["status"] == "scheduled"
    waiting = await explained(here, second.task_id)
    assert (waiting["status"], waiting["position"]) == ("queued", 1)
    await here.say(finished(placed))
    assert [event.task_id for event in await here.ears.wait(TaskScheduled, 2)] == [first.task_id, second.task_id]
    assert (await explained(here, first.task_id))["status"] == "succeeded"


async def test_the_labels_of_a_step_are_in_the_events_of_its_execution_even_after_a_restart(house: Opener) -> None:
    here = await house()
    agent = Agent(here.bus, slots=2)
    values = {"matrix": {"python": "3.11", "os": "debian"}, "index": 1}
    labelled, plain = queued(labels={"team": "web"}).model_copy(update=values), queued()
    await here.say(labelled, plain)
    for one in (labelled, plain):
        await here.explained_in_queue(one.task_id)
    await here.stack.aclose()
    async with scheduler_process(here.settings):
        await agent.listen()
        await agent.beat()
        placed = {event.task_id: event for event in await here.ears.wait(TaskScheduled, 2)}
        assert placed[labelled.task_id].labels == {"team": "web"}
        assert (placed[labelled.task_id].matrix, placed[labelled.task_id].index) == (values["matrix"], 1)
        assert "labels" not in placed[plain.task_id].model_fields_set
        agent.incarnation = new_id()
        await agent.beat()
        lost = {event.task_id: event.labels for event in await here.ears.wait(ExecutionLost, 2)}
    assert lost == {labelled.task_id: {"team": "web"}, plain.task_id: None}


async def test_a_finished_task_that_is_queued_again_does_not_run_again(house: Opener) -> None:
    here = await house()
    await here.agent(slots=1)
    one = queued()
    await here.say(one)
    [placed] = await here.ears.wait(TaskScheduled)
    await here.say(finished(placed))
    await here.say(one)
    other = queued()
    await here.say(other)
    assert [event.task_id for event in await here.ears.wait(TaskScheduled, 2)] == [one.task_id, other.task_id]


async def test_the_row_of_an_ended_attempt_is_small_and_keeps_its_report(house: Opener) -> None:
    here = await house()
    await here.agent(slots=1, labels={"zone": "north"})
    one = queued(requires={"zone": "north"}, matrix={"n": 1}, index=0)
    await here.say(one)
    [placed] = await here.ears.wait(TaskScheduled)
    await here.say(finished(placed))
    await here.say(queued(requires={"zone": "north"}))
    await here.ears.wait(TaskScheduled, 2)  # written after the end, or together with it
    row = await here.database.fetch_one(
        "select requires, matrix, run, report, octet_length(packed_report) as size from tasks where task_id = $1",
        one.task_id,
    )
    assert row is not None
    assert (row["requires"], row["matrix"], row["run"], row["report"]) == ({}, None, None, None)
    assert 0 < row["size"] < 200


async def test_a_cancellation_that_comes_first_is_remembered_and_an_outcome_is_not(house: Opener) -> None:
    here = await house()
    await here.agent(slots=5)
    ended, cancelled, runs = queued(), queued(), queued()
    await here.say(
        finished(
            TaskScheduled(
                task_id=ended.task_id,
                job_id=ended.job_id,
                attempt=1,
                execution_id=new_id(),
                worker_id=new_id(),
                incarnation=new_id(),
                run=ended.run,
                scheduled_at=datetime.now(UTC),
            )
        )
    )
    await here.say(TaskCancelRequested(task_id=cancelled.task_id, job_id=cancelled.job_id, attempt=1))
    [withdrawn] = await here.ears.wait(TaskWithdrawn)
    assert withdrawn.task_id == cancelled.task_id
    await here.say(ended, cancelled, runs)
    placed = await here.ears.wait(TaskScheduled, 2)
    assert {event.task_id for event in placed} == {ended.task_id, runs.task_id}, "anyone may invent an outcome"


async def test_cancelling_withdraws_what_waits_and_stops_what_is_placed(house: Opener) -> None:
    here = await house()
    await here.agent(slots=1)
    now = datetime.now(UTC)
    runs, waits = queued(queued_at=now), queued(queued_at=now + timedelta(seconds=1))
    await here.say(runs, waits)
    [placed] = await here.ears.wait(TaskScheduled)
    await here.say(*(TaskCancelRequested(task_id=t.task_id, job_id=t.job_id, attempt=1) for t in (runs, waits)))
    [withdrawn] = await here.ears.wait(TaskWithdrawn)
    [asked] = await here.ears.wait(ExecutionCancelRequested)
    assert withdrawn.task_id == waits.task_id
    assert (asked.execution_id, asked.worker_id) == (placed.execution_id, placed.worker_id)


async def test_a_returned_execution_goes_to_another_worker(house: Opener) -> None:
    here = await house()
    await here.agent(slots=1)
    await here.say(queued())
    [placed] = await here.ears.wait(TaskScheduled)
    other = await here.agent(slots=1)
    await here.say(
        ExecutionReturned(
            execution_id=placed.execution_id,
            task_id=placed.task_id,
            job_id=placed.job_id,
            attempt=1,
            worker_id=placed.worker_id,
            incarnation=placed.incarnation,
            detail="draining",
        )
    )
    again = (await here.ears.wait(TaskScheduled, 2))[1]
    assert (again.task_id, again.attempt, again.worker_id) == (placed.task_id, 1, other.id)
    assert again.execution_id != placed.execution_id


async def test_what_may_have_ended_and_been_forgotten_is_not_run_again(house: Opener) -> None:
    here = await house()
    await here.agent()
    long_ago = datetime.now(UTC) - timedelta(days=1)
    await here.say(old := queued(queued_at=long_ago), at=long_ago)
    await here.say(new := queued())
    [placed] = await here.ears.wait(TaskScheduled)
    assert placed.task_id == new.task_id
    await here.say(old)  # the orchestrator's reminder
    placed = (await here.ears.wait(TaskScheduled, 2))[1]
    assert placed.task_id == old.task_id


async def test_a_silent_worker_loses_its_lease_and_what_runs_there(house: Opener) -> None:
    here = await house(lease=1)
    agent = await here.agent()
    await here.say(queued())
    [placed] = await here.ears.wait(TaskScheduled)
    [lost] = await here.ears.wait(ExecutionLost)
    [offline] = await here.ears.wait(WorkerOffline)
    assert (lost.execution_id, lost.worker_id, offline.worker_id) == (placed.execution_id, agent.id, agent.id)
    found = await here.get(f"/api/v1/workers/{agent.id}")
    assert isinstance(found, dict)
    assert (found["status"], found["busy"]) == ("offline", 0)
    await agent.beat(running=[placed.execution_id])
    async with asyncio.timeout(DEADLINE):
        stop = await agent.stops.get()
    assert (stop.execution_ids, stop.reason) == ([placed.execution_id], Reason.FENCED)


async def test_a_stop_that_was_not_heard_is_said_again(house: Opener) -> None:
    here = await house()
    agent = await here.agent()
    await here.say(queued())
    [placed] = await here.ears.wait(TaskScheduled)
    await here.say(TaskCancelRequested(task_id=placed.task_id, job_id=placed.job_id, attempt=1, reason=Reason.TIMEOUT))
    await here.ears.wait(ExecutionCancelRequested)  # whose order, the worker manager's, is never given here
    await agent.beat(running=[placed.execution_id])
    async with asyncio.timeout(DEADLINE):
        stop = await agent.stops.get()
    assert (stop.execution_ids, stop.reason) == ([placed.execution_id], Reason.TIMEOUT)


async def test_what_its_worker_has_no_outcome_of_any_more_is_lost(
    house: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.app.REDELIVERED", 0.0)
    here = await house(lease=3)
    agent = await here.agent()

    async def live() -> None:
        while True:
            await agent.beat()
            await asyncio.sleep(0.1)

    living = asyncio.create_task(live())
    await here.say(queued())
    [placed] = await here.ears.wait(TaskScheduled)
    async with asyncio.timeout(DEADLINE):
        seek = await agent.seeks.get()
    living.cancel()
    assert seek.execution_ids == [placed.execution_id]
    assert here.ears.of(ExecutionLost) == [], "it may never have come to the worker"
    await agent.beat(over=[placed.execution_id])
    [lost] = await here.ears.wait(ExecutionLost)
    assert (lost.execution_id, lost.attempt) == (placed.execution_id, 1)


async def test_a_new_incarnation_loses_what_the_old_one_had_at_once_where_no_outcome_waits(house: Opener) -> None:
    here = await house(lease=60)
    agent = await here.agent(slots=1)
    await here.say(queued())
    [placed] = await here.ears.wait(TaskScheduled)
    agent.incarnation = new_id()
    await agent.beat()
    [lost] = await here.ears.wait(ExecutionLost)
    assert lost.execution_id == placed.execution_id
    await here.say(queued(task_id=placed.task_id, job_id=placed.job_id, attempt=2))
    again = (await here.ears.wait(TaskScheduled, 2))[1]
    assert (again.attempt, again.incarnation) == (2, agent.incarnation)


async def test_a_dead_process_is_lost_at_once(house: Opener) -> None:
    here = await house()
    agent = await here.agent(slots=1)
    await here.say(queued())
    [placed] = await here.ears.wait(TaskScheduled)
    await here.say(WorkerStopped(worker_id=agent.id, status=WorkerProcessStatus.FAILED, clean=False, detail="signal 9"))
    [lost] = await here.ears.wait(ExecutionLost)
    assert lost.execution_id == placed.execution_id


async def test_a_task_expires_in_the_queue(house: Opener) -> None:
    here = await house()
    soon = datetime.now(UTC) + timedelta(milliseconds=200)
    one = queued(queue_deadline=soon)
    await here.say(one)
    [expired] = await here.ears.wait(TaskExpired)
    assert expired.task_id == one.task_id
    assert (await explained(here, one.task_id))["status"] == "failed"


async def test_a_delayed_task_is_placed_when_it_is_due(house: Opener) -> None:
    here = await house()
    await here.agent()
    due = datetime.now(UTC) + timedelta(milliseconds=300)
    await here.say(queued(run_at=due))
    [placed] = await here.ears.wait(TaskScheduled)
    assert placed.scheduled_at >= due


async def test_a_scheduler_that_starts_again_goes_on_and_loses_no_lease(house: Opener) -> None:
    here = await house()
    agent = await here.agent(slots=1)
    now = datetime.now(UTC)
    await here.say(queued(queued_at=now), queued(queued_at=now + timedelta(seconds=1)))
    [placed] = await here.ears.wait(TaskScheduled)
    await here.stack.aclose()
    async with scheduler_process(here.settings):
        await agent.beat(running=[placed.execution_id])
        await here.say(finished(placed))
        await here.ears.wait(TaskScheduled, 2)
    assert here.ears.of(ExecutionLost) == []
    assert len(here.ears.of(WorkerRegistered)) == 1


async def test_a_failed_transaction_leaves_memory_as_the_tables_are(house: Opener) -> None:
    here = await house()
    await here.agent(slots=1)
    await here.database.execute("alter table tasks add constraint trial check (name <> 'bad')")
    bad, good = queued(name="bad"), queued(name="good")
    await here.say(bad)
    await here.say(good)
    [placed] = await here.ears.wait(TaskScheduled)
    assert placed.task_id == good.task_id, "the slot that the failed turn had given away is free again"


async def test_hundreds_at_once_each_run_once(house: Opener) -> None:
    here = await house()
    agents = [await here.agent(slots=40) for _ in range(3)]
    tasks = [queued() for _ in range(300)]
    for start in range(0, 300, 100):
        await here.say(*tasks[start : start + 100])
    done: set[str] = set()
    async with asyncio.timeout(30):
        while len(done) < 300:
            placed = await here.ears.wait(TaskScheduled, len(done) + 1)
            fresh = [one for one in placed if one.execution_id not in done]
            done |= {one.execution_id for one in fresh}
            for agent in agents:
                if own := [finished(one) for one in fresh if one.worker_id == agent.id]:
                    await here.say(*own)
    assert sorted(one.task_id for one in here.ears.of(TaskScheduled)) == sorted(one.task_id for one in tasks)
    assert {one.worker_id for one in here.ears.of(TaskScheduled)} == {agent.id for agent in agents}


async def pause(house: House, *, seconds: float) -> None:
    """Have the server give the scheduler no events for so long; 0 lets them come again."""
    until = datetime.now(UTC) + timedelta(seconds=seconds) if seconds else datetime.min.replace(tzinfo=UTC)
    consumer = f"{house.bus.catalogue.stream(EVENTS)}.{SCHEDULER_PLACEMENT.durable}"
    asked = orjson.dumps({"pause_until": until.isoformat()})
    answer = orjson.loads(await house.bus.request(f"$JS.API.CONSUMER.PAUSE.{consumer}", asked, timeout=5))
    assert answer["paused"] is bool(seconds)


async def test_an_outcome_that_was_stored_counts_though_the_new_incarnation_was_heard_first(house: Opener) -> None:
    here = await house(lease=60)
    agent = await here.agent(slots=1)
    await here.say(queued())
    [placed] = await here.ears.wait(TaskScheduled)
    await pause(here, seconds=60)
    await here.say(finished(placed))
    agent.incarnation = new_id()
    await agent.beat()
    await agent.beat()
    other = await here.agent(slots=0)  # whose heartbeat comes after those
    assert here.ears.of(ExecutionLost) == []

    await pause(here, seconds=0)

    await here.ears.wait(WorkerRegistered, where=lambda event: event.incarnation == agent.incarnation)
    assert (await explained(here, placed.task_id))["status"] == "succeeded"
    await here.say(new := queued())
    again = (await here.ears.wait(TaskScheduled, 2))[1]
    assert (again.task_id, again.incarnation) == (new.task_id, agent.incarnation)
    assert here.ears.of(ExecutionLost) == []
    assert again.worker_id != other.id


async def test_outcomes_that_are_not_read_keep_a_restarted_worker_no_longer_than_a_lease(house: Opener) -> None:
    here = await house(lease=2)
    agent = await here.agent(slots=1)
    await here.say(queued())
    [placed] = await here.ears.wait(TaskScheduled)
    await pause(here, seconds=60)
    await here.say(finished(placed))
    agent.incarnation = new_id()
    await agent.beat()
    [lost] = await here.ears.wait(ExecutionLost)
    assert lost.execution_id == placed.execution_id
    await here.ears.wait(WorkerRegistered, where=lambda event: event.incarnation == agent.incarnation)
