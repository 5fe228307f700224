"""Reports of agents on attempts that are not placed on their worker change nothing at the scheduler."""

from __future__ import annotations

import pytest

from scheduler.domain.desk import Desk
from scheduler.domain.model import Task, TaskState
from tests.unit.scheduler.making import at, beat, desk, finished, queued, returned, settle


def placed(attempt: int = 1) -> tuple[Desk, Task]:
    """A task that is placed on worker w1, beside worker w2."""
    one = desk()
    one.heartbeat(beat("w1"), at(0))
    one.arrive(queued("a", attempt=attempt), at(0))
    [task] = settle(one).scheduled
    one.heartbeat(beat("w2"), at(0))
    settle(one)
    return one, task


@pytest.mark.parametrize("attempt", [1, 99], ids=["the attempt", "another attempt"])
def test_a_report_of_another_worker_is_foreign(attempt: int) -> None:
    one, task = placed()
    forged = {"worker_id": "w2", "incarnation": "i1", "attempt": attempt}
    assert one.is_foreign(finished(task).model_copy(update=forged))
    assert one.is_foreign(returned(task).model_copy(update=forged))
    assert not one.is_foreign(finished(task))
    assert not one.is_foreign(returned(task))


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param({"attempt": 2}, id="a later attempt"),
        pytest.param({"execution_id": "another"}, id="another execution"),
        pytest.param({"task_id": "unknown"}, id="an unknown task"),
    ],
)
def test_an_agents_outcome_of_what_is_not_placed_ends_nothing_and_leaves_no_mark(forged: dict[str, object]) -> None:
    one, task = placed()
    stale = one.totals.stale
    one.finish(finished(task).model_copy(update=forged), by_agent=True)
    assert not settle(one)
    assert (task.state, one.totals.stale) == (TaskState.PLACED, stale + 1)
    one.arrive(queued("unknown"), at(1))
    assert [each.task_id for each in settle(one).scheduled] == ["unknown"], "it was not marked as over"


def test_the_outcome_of_the_worker_that_it_is_placed_on_counts() -> None:
    one, task = placed()
    one.finish(finished(task), by_agent=True)
    assert [each.task_id for each in settle(one).updates] == ["a"]
    assert task.state is TaskState.DONE


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param({"worker_id": "w2"}, id="another worker"),
        pytest.param({"attempt": 2}, id="another attempt"),
        pytest.param({"worker_id": "w2", "attempt": 99}, id="another worker and attempt"),
        pytest.param({"execution_id": "another"}, id="another execution"),
    ],
)
def test_only_the_worker_that_has_an_execution_gives_it_back(forged: dict[str, object]) -> None:
    one, task = placed()
    stale = one.totals.stale
    one.give_back(returned(task).model_copy(update=forged), at(1))
    assert not settle(one)
    assert (task.state, task.worker_id, one.totals.stale) == (TaskState.PLACED, "w1", stale + 1)
    one.give_back(returned(task), at(1))
    assert (task.state, task.worker_id) == (TaskState.WAITING, None)
