"""What waits costs the leader no payload: memory does not depend on what the tasks run."""

from __future__ import annotations

import gc
import tracemalloc
from datetime import timedelta

from scheduler.domain.desk import Desk
from schemas.events import TaskQueued
from schemas.specs import RunSpec
from tests.unit.scheduler.making import START, at, beat, desk, settle

TASKS = 500
ENVIRONMENT = 20_000


def arrival(number: int, *, environment: int) -> TaskQueued:
    return TaskQueued(
        task_id=f"00000000-0000-0000-0000-{number:012}",
        job_id=f"00000000-0000-0000-0001-{number:012}",
        attempt=1,
        name="main",
        requires={"zone": "north"},
        run=RunSpec(command="true", env={"DATA": f"{number:04}" * (environment // 4)}),
        queued_at=START + timedelta(milliseconds=number),
    )


def fill(one: Desk, *, environment: int) -> float:
    """Let many tasks arrive and wait; the bytes that each of them holds afterwards."""
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(TASKS):
            one.arrive(arrival(number, environment=environment), at(number))
            if number % 50 == 49:
                settle(one, at_second=number)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / TASKS
    finally:
        tracemalloc.stop()


def test_a_task_that_waits_holds_nothing_of_what_it_runs() -> None:
    small, large = fill(desk(), environment=10), fill(desk(), environment=ENVIRONMENT)
    assert large < 1500
    assert large < small * 1.2


def test_what_a_task_runs_is_at_hand_in_the_turn_in_which_it_arrives_and_in_no_other() -> None:
    one = desk()
    first, second = arrival(1, environment=10), arrival(2, environment=10)
    one.arrive(first, at(0))
    changes = settle(one)
    assert changes.runs == {first.task_id: first.run}
    one.arrive(second, at(0))
    one.heartbeat(beat(slots=2, labels={"zone": "north"}), at(0))
    changes = settle(one)
    assert {task.task_id for task in changes.scheduled} == {first.task_id, second.task_id}
    assert changes.runs == {second.task_id: second.run}
