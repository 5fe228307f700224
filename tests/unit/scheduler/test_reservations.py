"""A task that needs much room gets it within a bounded time, whatever small ones keep coming."""

from __future__ import annotations

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from scheduler.domain.desk import Desk
from scheduler.domain.model import Task
from schemas.specs import Priority, Resources
from tests.unit.scheduler.making import at, beat, desk, finished, queued, settle

WHOLE = 4000


def with_workers(count: int = 1, *, slots: int = 8) -> Desk:
    one = desk()
    for number in range(count):
        one.heartbeat(beat(f"w{number}", slots=slots, capacity=Resources(cpu_m=WHOLE)), at(0))
    settle(one)
    return one


class Stream:
    """Small tasks that come and end on a clock of tenths of a second, and what was placed when."""

    def __init__(self, one: Desk, *, lasts: int) -> None:
        self.desk = one
        self.lasts = lasts
        self.placed: dict[str, int] = {}
        self._running: list[tuple[int, Task]] = []
        self._count = 0

    def tick(self, tenth: int, arrivals: list[tuple[str, int, Priority]]) -> None:
        second = tenth / 10
        for end, task in [entry for entry in self._running if entry[0] <= tenth]:
            self.desk.finish(finished(task))
            self._running.remove((end, task))
        for task_id, cpu_m, priority in arrivals:
            event = queued(task_id, priority=priority, queued_at=second, resources=Resources(cpu_m=cpu_m))
            self.desk.arrive(event, at(second))
        for number in range(len(list(self.desk.roster))):  # each worker is alive
            self.desk.heartbeat(beat(f"w{number}", slots=8, capacity=Resources(cpu_m=WHOLE)), at(second))
        self.desk.tick(at(second))
        for task in settle(self.desk, at_second=second).scheduled:
            self.placed[task.task_id] = tenth
            self._running.append((tenth + self.lasts, task))


def test_a_large_task_begins_although_small_ones_keep_coming() -> None:
    stream = Stream(with_workers(), lasts=20)
    for tenth in range(0, 150):
        arrivals: list[tuple[str, int, Priority]] = [(f"small-{tenth}", 1000, "normal")] if tenth % 4 == 0 else []
        if tenth == 30:
            arrivals.append(("large", WHOLE, "critical"))
        stream.tick(tenth, arrivals)
        if "large" in stream.placed:
            break
    assert stream.placed["large"] <= 30 + 20 + 20 + 4, "two seconds until it is reserved, and what a small one lasts"


def test_one_of_the_same_priority_waits_no_longer() -> None:
    stream = Stream(with_workers(), lasts=20)
    for tenth in range(0, 150):
        stream.tick(tenth, [(f"small-{tenth}", 1000, "normal")] if tenth % 4 else [])
        if tenth == 30:
            stream.tick(tenth, [("large", WHOLE, "normal")])
        if "large" in stream.placed:
            break
    assert "large" in stream.placed


def test_small_ones_go_on_beside_a_large_one_that_leaves_them_room() -> None:
    stream = Stream(with_workers(), lasts=20)
    for tenth in range(0, 80):
        arrivals: list[tuple[str, int, Priority]] = [(f"small-{tenth}", 1000, "low")]
        if tenth == 10:
            arrivals.append(("large", 3000, "normal"))
        stream.tick(tenth, arrivals)
    [worker] = stream.desk.roster
    assert "large" in stream.placed
    begun = stream.placed["large"]
    meanwhile = [name for name, tenth in stream.placed.items() if begun - 20 < tenth < begun and name != "large"]
    assert meanwhile, "back-filling went on while the worker was reserved"
    assert worker.used[0] <= WHOLE


def test_a_reservation_ends_with_its_task_and_is_written() -> None:
    one = with_workers()
    for number in range(4):
        one.arrive(queued(f"first-{number}", resources=Resources(cpu_m=1000)), at(0))
    running = settle(one).scheduled
    one.arrive(queued("large", queued_at=1, resources=Resources(cpu_m=WHOLE)), at(1))
    one.arrive(queued("small", queued_at=2, resources=Resources(cpu_m=1000)), at(2))
    one.finish(finished(running[0]))
    changes = settle(one, at_second=4)
    assert [task.task_id for task in changes.scheduled] == ["small"], "it goes past the large one once"
    [worker] = changes.workers
    assert worker.reservation is not None
    assert worker.reservation.task.task_id == "large"
    one.arrive(queued("later", queued_at=5, resources=Resources(cpu_m=1000)), at(5))
    one.finish(finished(running[1]))
    assert settle(one, at_second=5).scheduled == []
    large = one.attempts.tasks["large"]
    one.queue.remove(large)  # as it is withdrawn
    changes = settle(one, at_second=6)
    assert [task.task_id for task in changes.scheduled] == ["later"]
    assert [worker.reservation for worker in changes.workers] == [None]


def test_a_reservation_outlasts_its_leader() -> None:
    one = with_workers()
    one.arrive(queued("first", resources=Resources(cpu_m=3000)), at(0))
    settle(one)
    one.arrive(queued("large", queued_at=1, resources=Resources(cpu_m=WHOLE)), at(1))
    settle(one, at_second=1)
    other = desk()
    other.restore(list(one.attempts.tasks.values()), list(one.roster), at(2), reserved={"w0": "large"})
    other.arrive(queued("small", queued_at=3, resources=Resources(cpu_m=1000)), at(3))
    assert settle(other, at_second=3).scheduled == []


@settings(max_examples=40, phases=[Phase.generate])  # shrinking a minute of arrivals takes long
@given(
    st.lists(st.tuples(st.integers(1, WHOLE), st.sampled_from(["low", "normal"])), min_size=60, max_size=60),
    st.integers(1, 3),
    st.integers(5, 25),
)
def test_the_wait_is_bounded_whatever_comes(small: list[tuple[int, Priority]], workers: int, lasts: int) -> None:
    stream = Stream(with_workers(workers), lasts=lasts)
    large_at = 10
    # The last one to overtake it comes, at the latest, when all has ended that was placed in its first two seconds.
    bound = large_at + 20 + lasts + lasts + 2
    for tenth in range(bound + 1):
        cpu_m, priority = small[tenth % len(small)]
        arrivals: list[tuple[str, int, Priority]] = [(f"small-{tenth}", cpu_m, priority)]
        if tenth == large_at:
            arrivals.append(("large", WHOLE, "high"))
        stream.tick(tenth, arrivals)
        for worker in stream.desk.roster:
            assert worker.used[0] <= WHOLE
    assert stream.placed.get("large", bound + 1) <= bound
