"""What outlasts a worker's process: a drain that was ordered, the reason of its end, its place in the list."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from scheduler.domain.desk import Desk
from scheduler.domain.leases import OUTDATED
from scheduler.domain.model import TaskState
from scheduler.domain.worker import KnownWorker
from schemas.agents import Heartbeat
from schemas.events import (
    ExecutionLost,
    WorkerDraining,
    WorkerForgotten,
    WorkerRegistered,
    WorkerResumed,
    WorkerStopped,
    WorkerUnhealthy,
)
from schemas.states import Reason, WorkerProcessStatus, WorkerStatus
from tests.unit.scheduler.making import LEASE, at, beat, desk, queued, settle

DRAIN = WorkerDraining(worker_id="w1", ordered=True)
RESUME = WorkerResumed(worker_id="w1")


def with_worker(**fields: object) -> Desk:
    one = desk()
    one.heartbeat(beat(**fields), at(0))  # type: ignore[arg-type]  # the fields of a heartbeat
    settle(one)
    return one


def only(one: Desk) -> KnownWorker:
    [worker] = one.roster
    return worker


def test_a_drain_outlasts_an_orderly_restart() -> None:
    one = with_worker()
    assert one.drain(DRAIN)
    one.heartbeat(beat(draining=True, leaving=True), at(1))
    settle(one)
    answer = one.heartbeat(beat(incarnation="i2"), at(2))
    assert answer.drain, "the agent has yet to hear of it"
    one.arrive(queued("a"), at(2))
    changes = settle(one)
    assert only(one).status is WorkerStatus.DRAINING
    assert changes.scheduled == []
    assert [event.draining for event in changes.events if isinstance(event, WorkerRegistered)] == [True]


def test_a_drain_outlasts_a_crash() -> None:
    one = with_worker()
    one.drain(DRAIN)
    one.heartbeat(beat(incarnation="i2"), at(2))
    assert only(one).status is WorkerStatus.DRAINING


def test_a_drain_is_lifted_once_and_for_all_and_the_agent_is_told_until_it_obeys() -> None:
    one = with_worker()
    one.drain(DRAIN)
    one.heartbeat(beat(draining=True), at(1))
    assert one.resume(RESUME)
    assert not one.resume(RESUME)
    assert one.heartbeat(beat(draining=True), at(2)).resume
    assert not one.heartbeat(beat(), at(3)).resume
    one.arrive(queued("a"), at(3))
    assert [task.worker_id for task in settle(one).scheduled] == ["w1"]


def test_a_worker_whose_drain_was_lifted_is_online_and_takes_work_once_its_agent_says_so() -> None:
    one = with_worker()
    one.drain(DRAIN)
    one.heartbeat(beat(draining=True), at(1))
    one.arrive(queued("a"), at(1))
    one.resume(RESUME)
    one.heartbeat(beat(draining=True), at(2))
    assert settle(one).scheduled == []
    assert only(one).status is WorkerStatus.ONLINE

    one.heartbeat(beat(), at(3))

    assert [task.worker_id for task in settle(one).scheduled] == ["w1"]
    one.heartbeat(beat(draining=True, exiting=True), at(4))
    assert only(one).status is WorkerStatus.DRAINING, "by a signal of its own"


def test_an_agent_that_drains_in_order_to_end_is_not_told_to_resume() -> None:
    one = with_worker()
    assert not one.heartbeat(beat(draining=True, exiting=True), at(1)).resume


def test_what_a_stopped_worker_ran_is_queued_again_at_once_and_was_no_crash() -> None:
    one = with_worker()
    one.arrive(queued("a"), at(0))
    [placed] = settle(one).scheduled
    assert placed.execution_id is not None
    one.heartbeat(beat(draining=True, running=[placed.execution_id], leaving=True), at(1))
    [lost] = [event for event in settle(one).events if isinstance(event, ExecutionLost)]
    assert (lost.task_id, lost.reason) == ("a", Reason.WORKER_STOPPED)


@pytest.mark.parametrize("goodbye", [beat(draining=True, leaving=True), beat(draining=True, exiting=True)])
@pytest.mark.parametrize(
    "after",
    [lambda desk: desk.tick(at(2 * LEASE + 1)), lambda desk: desk.heartbeat(beat(incarnation="i2"), at(2))],
    ids=["its lease ends", "its next incarnation comes"],
)
def test_what_a_worker_had_that_was_about_to_end_was_no_crash(
    goodbye: Heartbeat, after: Callable[[Desk], object]
) -> None:
    """Whether its last word was heard, or only that it would end."""
    one = with_worker()
    one.arrive(queued("a"), at(0))
    settle(one)
    one.heartbeat(goodbye, at(1))
    after(one)
    [lost] = [event for event in settle(one).events if isinstance(event, ExecutionLost)]
    assert lost.reason is Reason.WORKER_STOPPED


def test_a_worker_that_comes_back_tells_how_it_ended() -> None:
    for stopped, reason in ((("i0", "i1"), Reason.WORKER_STOPPED), (("i0",), Reason.LOST), ((), Reason.LOST)):
        one = with_worker()
        one.arrive(queued("a"), at(0))
        settle(one)
        one.heartbeat(beat(incarnation="i2", stopped=stopped), at(1))
        [lost] = [event for event in settle(one).events if isinstance(event, ExecutionLost)]
        assert lost.reason is reason
        assert not one.roster.get("w1").left


def test_a_process_that_ended_as_it_was_told_is_no_crash_and_any_other_is() -> None:
    for ordered, reason in ((True, Reason.WORKER_STOPPED), (False, Reason.LOST)):
        one = with_worker()
        one.arrive(queued("a"), at(0))
        settle(one)
        status = WorkerProcessStatus.STOPPED
        stopped = WorkerStopped(worker_id="w1", status=status, clean=False, ordered=ordered, detail="gone")
        one.stopped(stopped, at(1).wall, at(1))
        [lost] = [event for event in settle(one).events if isinstance(event, ExecutionLost)]
        assert lost.reason is reason


def test_a_crash_after_an_orderly_restart_is_a_crash() -> None:
    one = with_worker()
    one.heartbeat(beat(leaving=True), at(1))
    one.heartbeat(beat(incarnation="i2"), at(2))
    one.arrive(queued("a"), at(2))
    settle(one, at_second=2)
    one.tick(at(2 + 2 * LEASE))
    [lost] = [event for event in settle(one).events if isinstance(event, ExecutionLost)]
    assert lost.reason is Reason.LOST


def test_a_worker_that_was_offline_for_long_is_forgotten_and_may_come_back() -> None:
    one = with_worker()

    def ttl(_worker: KnownWorker) -> timedelta:
        return timedelta(seconds=60)

    assert one.forget(at(100), ttl) == 0, "it is online"
    one.heartbeat(beat(leaving=True), at(100))
    settle(one)
    assert one.forget(at(59), ttl) == 0
    assert one.forget(at(61), ttl) == 1
    changes = settle(one)
    assert [worker.id for worker in changes.forgotten] == ["w1"]
    assert [type(event) for event in changes.events] == [WorkerForgotten]
    assert len(one.roster) == 0
    one.heartbeat(beat(incarnation="i2"), at(70))
    assert only(one).status is WorkerStatus.ONLINE


def test_a_worker_with_a_state_folder_is_known_as_one_that_may_come_back_unless_its_process_is_managed() -> None:
    one = with_worker(durable=True)
    assert only(one).durable
    stopped = WorkerStopped(worker_id="w1", status=WorkerProcessStatus.STOPPED, clean=True, detail="drained")
    one.stopped(stopped, at(1).wall, at(1))
    assert not only(one).durable


def test_an_agent_of_an_earlier_version_gets_no_work_and_finishes_what_it_has() -> None:
    one = desk()
    one.heartbeat(beat(slots=2), at(0))
    one.arrive(queued("a"), at(0))
    [placed] = settle(one).scheduled
    running = [placed.execution_id or ""]
    one.heartbeat(beat(slots=2, running=running, protocol=1, sequence=1), at(1))
    [unhealthy] = settle(one).events
    assert isinstance(unhealthy, WorkerUnhealthy)
    assert unhealthy.detail == OUTDATED
    one.arrive(queued("b"), at(1))
    changes = settle(one)
    assert (changes.scheduled, placed.state) == ([], TaskState.PLACED)
    one.heartbeat(beat(slots=2, running=running, sequence=2), at(2))
    assert [task.task_id for task in settle(one).scheduled] == ["b"], "its agent was renewed"
