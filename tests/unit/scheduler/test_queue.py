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


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans()), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 29), st.integers(0, 3), st.integers(0, 6)), max_size=60),
)
def test_tasks_are_in_the_order_in_which_they_would_be_with_their_last_priority_from_the_start(
    entries: list[tuple[int, int, bool]], changes: list[tuple[int, int, int]]
) -> None:
    """Whether they are ready or not due yet when their priority changes."""
    queue, tasks = Queue(), []
    for number, (seconds, priority, delays) in enumerate(entries):
        one = delayed(number, seconds) if delays else task(number, ready=seconds)
        one.priority = priority
        one.queue_deadline = at(100 + number).wall
        tasks.append(one)
        queue.add(one, START)
    clock = 0
    for number, priority, seconds in changes:
        clock = max(clock, seconds)
        queue.ripen(at(clock).wall)
        queue.reprioritize(tasks[number % len(tasks)], priority, at(clock).wall)
    queue.ripen(at(10).wall)
    fresh = Queue()
    for number, (seconds, _, _) in enumerate(entries):
        fresh.add(task(number, priority=tasks[number].priority, ready=seconds), START)
    assert by_claim(queue) == by_claim(fresh)
    assert [one.task_id for one in queue.overdue(at(200).wall)] == [one.task_id for one in tasks]


def by_claim(queue: Queue) -> list[tuple[int, str]]:
    """The ready tasks in the order in which they are placed."""
    heads = [(-lane.priority, one.ready_at, one.task_id) for lane in queue.lanes() for one in lane.tasks]
    lanes = [(lane.priority, [one.task_id for one in lane.tasks]) for lane in queue.lanes()]
    for priority, ids in lanes:
        assert ids == [id for negative, _, id in sorted(heads) if negative == -priority]
    return [(-negative, id) for negative, _, id in sorted(heads)]


def test_changing_priorities_for_ever_leaves_no_dead_entries_behind() -> None:
    queue = Queue()
    tasks = [task(number) for number in range(10)]
    for one in tasks:
        one.queue_deadline, one.shuns = at(100).wall, ("w1",)
        queue.add(one, START)
    for turn in range(2000):
        for one in tasks:
            queue.reprioritize(one, turn % 4, START)
    entries = [len(heap) for heap in (queue._deadlines, queue._patience)]
    assert max(entries) < 1000


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
