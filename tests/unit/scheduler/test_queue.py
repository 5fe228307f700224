"""What waits, in which order, and what time does to it."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from scheduler.domain.model import Task
from scheduler.domain.queue import Queue
from tests.unit.scheduler.making import START, at, task


def in_order(queue: Queue) -> list[str]:
    return [one.task_id for lane in queue.lanes() for one in lane.tasks]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60))
def test_a_lane_is_read_in_order_without_what_left_it(entries: list[tuple[int, bool]]) -> None:
    queue = Queue()
    tasks = [task(number, ready=ready) for number, (ready, _) in enumerate(entries)]
    for one in tasks:
        queue.add(one, START)
    for one, (_, leaves) in zip(tasks, entries, strict=True):
        if leaves:
            queue.remove(one)
    stays = [one for one, (_, leaves) in zip(tasks, entries, strict=True) if not leaves]
    expected = [one.task_id for one in sorted(stays, key=lambda one: (one.ready_at, one.task_id))]
    assert in_order(queue) == expected == in_order(queue)
    assert sum(count for count, _ in queue.depths().values()) == len(queue) == len(stays)


def test_a_task_that_comes_back_stands_there_once() -> None:
    queue = Queue()
    first, second = task(1), task(2)
    for one in (first, second):
        queue.add(one, START)
    queue.remove(second)
    queue.add(second, START)
    assert in_order(queue) == ["t000001", "t000002"]


def test_many_that_leave_from_the_middle_take_their_room_with_them() -> None:
    queue = Queue()
    tasks = [task(number) for number in range(2000)]
    for one in tasks:
        queue.add(one, START)
    for one in tasks[1:]:
        queue.remove(one)
    assert in_order(queue) == ["t000000"]


def delayed(number: int, seconds: float) -> Task:
    one = task(number, ready=seconds)
    one.run_at = START + timedelta(seconds=seconds)
    return one


def test_a_delayed_task_is_not_there_before_its_time() -> None:
    queue = Queue()
    queue.add(delayed(1, 10), START)
    assert in_order(queue) == []
    assert queue.next_moment() == at(10).wall
    assert queue.ripen(at(9.9).wall) == 0
    assert queue.ripen(at(10).wall) == 1
    assert in_order(queue) == ["t000001"]
    assert queue.next_moment() is None


def test_a_queue_deadline_is_told_once_and_only_of_what_waits() -> None:
    queue = Queue()
    one, other = task(1), task(2)
    one.queue_deadline = other.queue_deadline = at(5).wall
    queue.add(one, START)
    queue.add(other, START)
    queue.remove(other)
    assert queue.overdue(at(4).wall) == []
    assert queue.overdue(at(5).wall) == [one]
    assert queue.overdue(at(6).wall) == []
