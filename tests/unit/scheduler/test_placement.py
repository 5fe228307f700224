"""What no plan may ever do, and what every plan does."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from scheduler.domain.model import Shape, Task
from scheduler.domain.placement import Lane, Plan, Snapshot, place
from scheduler.domain.room import UNLIMITED, Held, Room
from scheduler.domain.rules import has_labels
from tests.unit.scheduler.making import task

SHAPES = [
    Shape(),
    Shape((("type", "rust"),)),
    Shape((("zone", "a"),)),
    Shape(cpu_m=500),
    Shape((("zone", "a"),), memory_mb=100, gpu=1),
]
LABELS = [{"type": "default"}, {"type": "rust"}, {"type": "default", "zone": "a"}, {"type": "rust", "zone": "a"}]


@st.composite
def rooms(draw: st.DrawFn) -> list[Room]:
    return [
        Room(
            f"w{number}",
            draw(st.sampled_from(LABELS)),
            draw(st.integers(0, 3)),
            draw(st.integers(0, 3)),
            draw(st.sampled_from([UNLIMITED, (1000, 150, 1), (0, 0, 0)])),
        )
        for number in range(draw(st.integers(0, 5)))
    ]


@st.composite
def tasks(draw: st.DrawFn) -> list[Task]:
    return [
        task(
            number,
            priority=draw(st.integers(0, 3)),
            shape=draw(st.sampled_from(SHAPES)),
            ready=draw(st.integers(0, 3)),
            avoid=draw(st.sampled_from([None, "w0", "w1"])),
        )
        for number in range(draw(st.integers(0, 14)))
    ]


def order(one: Task) -> tuple[int, object, str]:
    return (-one.priority, one.ready_at, one.task_id)


def snapshot(waiting: list[Task], workers: list[Room]) -> Snapshot:
    lanes: dict[tuple[Shape, int], list[Task]] = {}
    for one in sorted(waiting, key=order):
        lanes.setdefault((one.shape, one.priority), []).append(one)
    return Snapshot([Lane(shape, priority, lane) for (shape, priority), lane in lanes.items()], workers)


def left_after(workers: list[Room], plan: Plan) -> dict[str, tuple[int, tuple[int, int, int]]]:
    left = {room.worker_id: (room.slots + room.prefetch, room.resources) for room in workers}
    for placement in plan:
        room, (cpu_m, memory_mb, gpu) = left[placement.worker_id]
        shape = placement.task.shape
        left[placement.worker_id] = (room - 1, (cpu_m - shape.cpu_m, memory_mb - shape.memory_mb, gpu - shape.gpu))
    return left


def holds(resources: tuple[int, int, int], shape: Shape) -> bool:
    return all(need <= has for need, has in zip((shape.cpu_m, shape.memory_mb, shape.gpu), resources, strict=True))


@given(tasks(), rooms())
def test_never_more_than_offered(waiting: list[Task], workers: list[Room]) -> None:
    for room, resources in left_after(workers, place(snapshot(waiting, workers))).values():
        assert room >= 0
        assert min(resources) >= 0


@given(tasks(), rooms())
def test_nobody_is_placed_twice(waiting: list[Task], workers: list[Room]) -> None:
    counts = Counter(placement.task.task_id for placement in place(snapshot(waiting, workers)))
    assert set(counts.values()) <= {1}


@given(tasks(), rooms())
def test_never_where_a_label_is_missing(waiting: list[Task], workers: list[Room]) -> None:
    labels = {room.worker_id: room.labels for room in workers}
    for placement in place(snapshot(waiting, workers)):
        assert has_labels(placement.task.shape, labels[placement.worker_id])


@given(tasks(), rooms())
def test_nothing_fitting_waits_while_there_is_room(waiting: list[Task], workers: list[Room]) -> None:
    plan = place(snapshot(waiting, workers))
    placed = {placement.task.task_id for placement in plan}
    labels = {room.worker_id: room.labels for room in workers}
    left = left_after(workers, plan)
    for one in waiting:
        if one.task_id not in placed:
            assert not any(
                room > 0 and has_labels(one.shape, labels[id]) and holds(resources, one.shape)
                for id, (room, resources) in left.items()
            )


@given(tasks(), rooms())
def test_higher_priority_first_among_equals(waiting: list[Task], workers: list[Room]) -> None:
    placed = {placement.task.task_id for placement in place(snapshot(waiting, workers))}
    by_shape: dict[Shape, list[Task]] = {}
    for one in sorted(waiting, key=order):
        by_shape.setdefault(one.shape, []).append(one)
    for equals in by_shape.values():
        taken = [one.task_id in placed for one in equals]
        assert taken == sorted(taken, reverse=True), "a later one went before an earlier one of the same shape"


@given(tasks(), rooms())
def test_the_plan_is_in_the_order_of_the_queue(waiting: list[Task], workers: list[Room]) -> None:
    plan = [order(placement.task) for placement in place(snapshot(waiting, workers))]
    assert plan == sorted(plan)


@given(tasks(), rooms())
def test_prefetch_room_only_when_no_fitting_slot_is_free(waiting: list[Task], workers: list[Room]) -> None:
    slots = {room.worker_id: room.slots for room in workers}
    labels = {room.worker_id: room.labels for room in workers}
    left = {room.worker_id: room.resources for room in workers}
    for placement in place(snapshot(waiting, workers)):
        shape, avoid = placement.task.shape, placement.task.avoid_worker_id
        if slots[placement.worker_id] == 0:
            assert not any(
                free and has_labels(shape, labels[id]) and holds(left[id], shape) and id != avoid
                for id, free in slots.items()
            )
        else:
            slots[placement.worker_id] -= 1
        cpu_m, memory_mb, gpu = left[placement.worker_id]
        left[placement.worker_id] = (cpu_m - shape.cpu_m, memory_mb - shape.memory_mb, gpu - shape.gpu)


@given(tasks(), rooms())
def test_deterministic_whatever_the_order_of_the_snapshot(waiting: list[Task], workers: list[Room]) -> None:
    there = place(snapshot(waiting, workers))
    back = place(snapshot(waiting[::-1], workers[::-1]))
    assert [(p.task.task_id, p.worker_id) for p in there] == [(p.task.task_id, p.worker_id) for p in back]


@given(tasks(), rooms())
def test_the_avoided_worker_is_the_last_resort(waiting: list[Task], workers: list[Room]) -> None:
    left = {room.worker_id: [room.slots + room.prefetch, *room.resources] for room in workers}
    labels = {room.worker_id: room.labels for room in workers}
    for placement in place(snapshot(waiting, workers)):
        shape = placement.task.shape
        if placement.worker_id == placement.task.avoid_worker_id:
            assert not any(
                rest[0] > 0 and has_labels(shape, labels[id]) and holds((rest[1], rest[2], rest[3]), shape)
                for id, rest in left.items()
                if id != placement.worker_id
            )
        rest = left[placement.worker_id]
        rest[:] = [rest[0] - 1, rest[1] - shape.cpu_m, rest[2] - shape.memory_mb, rest[3] - shape.gpu]


def test_work_spreads_over_the_emptiest_workers() -> None:
    workers = [Room("w0", {}, 4, 0), Room("w1", {}, 2, 0)]
    plan = place(snapshot([task(number) for number in range(4)], workers))
    assert [placement.worker_id for placement in plan] == ["w0", "w0", "w0", "w1"]


def test_only_as_much_of_a_lane_is_read_as_is_placed() -> None:
    read = 0

    def endless() -> object:
        nonlocal read
        while True:
            read += 1
            yield task(read)

    plan = place(Snapshot([Lane(Shape(), 1, endless())], [Room("w0", {}, 3, 0)]))  # type: ignore[arg-type]
    assert (len(plan), read) == (3, 4)


def test_the_worker_on_which_it_failed_is_left_alone_while_the_task_waits_for_another() -> None:
    shy = task(1)
    lane = Lane(Shape(), 1, [shy], ("bad",))
    asked = []

    def waits(one: Task) -> bool:
        asked.append(one.task_id)
        return True

    bad, good = Room("bad", {}, 5, 0), Room("good", {}, 1, 0)
    assert [p.worker_id for p in place(Snapshot([lane], [bad, good], waits=waits))] == ["good"]
    assert asked == [], "nothing is asked where there is a choice"
    assert place(Snapshot([lane], [bad], waits=waits)) == []
    assert [p.worker_id for p in place(Snapshot([lane], [bad], waits=lambda _: False))] == ["bad"]


def test_of_the_workers_on_which_it_failed_the_first_one_named_comes_last() -> None:
    lane = Lane(Shape(), 1, [task(1)], ("worse", "bad"))
    rooms = [Room("bad", {}, 1, 0), Room("worse", {}, 9, 0)]
    assert [p.worker_id for p in place(Snapshot([lane], rooms))] == ["bad"]


def test_a_held_room_takes_what_goes_before_and_what_fits_beside() -> None:
    large = task(5, shape=Shape(cpu_m=3000))
    held = Held("w", large, 1, (1000, 0, 0))
    room = Room("w", {}, 2, 0, (2000, 0, 0))

    def goes(one: Task) -> bool:
        return bool(place(Snapshot([Lane(one.shape, one.priority, [one])], [room], [held])))

    assert goes(task(6, shape=Shape(cpu_m=1000))), "there is room beside the large one"
    assert not goes(task(6, shape=Shape(cpu_m=1001)))
    assert goes(task(6, shape=Shape(cpu_m=2000), priority=2)), "it goes before"
    assert goes(task(4, shape=Shape(cpu_m=2000))), "it became ready earlier"
    both = [task(6, shape=Shape(cpu_m=600)), task(7, shape=Shape(cpu_m=600))]
    assert len(place(Snapshot([Lane(Shape(cpu_m=600), 1, both)], [room], [held]))) == 1


def test_what_is_held_is_free_for_others_once_the_task_has_its_place() -> None:
    large, small = task(1, shape=Shape(cpu_m=1000)), task(2, shape=Shape(cpu_m=500))
    held = Held("w", large, 0, (0, 0, 0))
    lanes = [Lane(large.shape, 1, [large]), Lane(small.shape, 1, [small])]
    plan = place(Snapshot(lanes, [Room("w", {}, 2, 0, (1500, 0, 0))], [held]))
    assert [p.task.task_id for p in plan] == [large.task_id, small.task_id]
