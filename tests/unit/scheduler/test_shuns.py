"""An attempt after a failure prefers another fit worker, and waits for one for a while."""

from __future__ import annotations

import pytest

from scheduler.domain.desk import Desk
from scheduler.domain.model import SHUN_FOR
from schemas.events import WorkerDraining
from tests.unit.scheduler.making import at, beat, desk, finished, queued, settle

PATIENCE = SHUN_FOR.total_seconds()


def two_workers(*, good_slots: int = 1) -> Desk:
    one = desk()
    one.heartbeat(beat("bad", slots=2), at(0))
    one.heartbeat(beat("good", slots=good_slots), at(0))
    settle(one)
    return one


def busy(one: Desk, worker_id: str) -> None:
    """Take the worker's one slot."""
    worker = one.roster.get(worker_id)
    assert worker is not None
    one.arrive(queued("blocker", avoid=["bad"]), at(0))
    [placed] = settle(one).scheduled
    assert placed.worker_id == worker_id


def test_a_free_fit_worker_is_preferred_to_the_one_where_it_failed() -> None:
    one = two_workers()
    one.arrive(queued("a", attempt=2, avoid=["bad"]), at(0))
    assert [task.worker_id for task in settle(one).scheduled] == ["good"]


def test_a_busy_fit_worker_is_waited_for() -> None:
    one = two_workers()
    busy(one, "good")
    one.arrive(queued("a", attempt=2, avoid=["bad"]), at(0))
    one.arrive(queued("new"), at(0))
    assert [(task.task_id, task.worker_id) for task in settle(one).scheduled] == [("new", "bad")], "others go on"
    one.finish(finished(one.attempts.tasks["blocker"]))
    assert [(task.task_id, task.worker_id) for task in settle(one, at_second=1).scheduled] == [("a", "good")]


def test_the_wait_for_another_worker_is_bounded() -> None:
    one = two_workers()
    busy(one, "good")
    timers = one.totals.timers
    one.arrive(queued("a", attempt=2, avoid=["bad"]), at(0))
    assert one.totals.timers == timers + 1
    assert settle(one).scheduled == []
    one.heartbeat(beat("good", slots=1, running=[one.attempts.tasks["blocker"].execution_id or ""]), at(PATIENCE - 1))
    one.heartbeat(beat("bad"), at(PATIENCE - 1))
    assert one.due_in(at(PATIENCE - 1)) == pytest.approx(1.0)
    one.tick(at(PATIENCE))
    assert [task.worker_id for task in settle(one, at_second=PATIENCE).scheduled] == ["bad"]


@pytest.mark.parametrize("why", ["draining", "another label", "offline"])
def test_a_worker_that_could_not_take_it_is_not_waited_for(why: str) -> None:
    one = two_workers()
    if why == "draining":
        one.drain(WorkerDraining(worker_id="good", ordered=True))
    elif why == "offline":
        one.heartbeat(beat("good", leaving=True), at(0))
    requires = {"zone": "a"} if why == "another label" else None
    if requires:
        one.heartbeat(beat("bad", labels=requires), at(0))
    one.arrive(queued("a", attempt=2, avoid=["bad"], requires=requires), at(0))
    assert [task.worker_id for task in settle(one).scheduled] == ["bad"]


def test_twelve_tasks_all_come_to_the_worker_that_can_run_them() -> None:
    one = two_workers(good_slots=2)
    attempts = dict.fromkeys((f"t{number:02}" for number in range(12)), 1)
    for task_id in attempts:
        one.arrive(queued(task_id), at(0))
    succeeded: set[str] = set()
    for second in range(1, 40):
        for task in settle(one, at_second=second).scheduled:
            one.finish(finished(task))
            if task.worker_id == "good":
                succeeded.add(task.task_id)
                continue
            attempts[task.task_id] += 1
            again = queued(task.task_id, attempt=attempts[task.task_id], queued_at=second, avoid=["bad"])
            one.arrive(again, at(second))
    assert succeeded == set(attempts)
    assert max(attempts.values()) <= 2
