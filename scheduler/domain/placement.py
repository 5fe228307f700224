"""Which worker gets which waiting task: a pure function of a snapshot.

Filter, then rank. A worker is fit when it takes work, has every label that the task requires and the
resources it needs; among the fit the one with the most free slots wins, and room to prefetch counts only when
no fit worker has a free slot. Tasks go by priority, then by the order in which they became ready; one that
nothing fits holds up nobody behind it. The worker that a task avoids is its last resort; those on which it failed
before are left alone as long as `Snapshot.waits` says so. A room that is held for a task takes others only as a last
resort, and only if they go before that task or fit beside it (`scheduler.domain.reservations`).

The cost follows what is placed, not what waits: a lane is read only as far as its tasks are placed, and
workers are ranked once per shape in a heap whose stale entries are corrected when they surface (room only
shrinks while a plan is made, so an entry is never better than it says).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from typing import Final

from scheduler.domain.model import Shape, Task

Rank = tuple[int, int, str]
"""Lower is better: 0 for a free slot and 1 for prefetch room, then minus how much of it, then the id."""

_Head = tuple[int, object, str, int]

UNLIMITED: Final = (1 << 62, 1 << 62, 1 << 62)
"""The resources of a worker that states no capacity."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a worker that takes work still has: free `slots`, room to `prefetch`, and (cpu_m, memory_mb, gpu).

    `labels` hold its type as well.
    """

    worker_id: str
    labels: Mapping[str, str]
    slots: int
    prefetch: int
    resources: tuple[int, int, int] = UNLIMITED


@dataclass(frozen=True, slots=True)
class Lane:
    """Waiting tasks of one shape and one priority, in the order in which they became ready."""

    shape: Shape
    priority: int
    tasks: Iterable[Task]
    shuns: tuple[str, ...] = ()
    """The workers on which all of them have failed before."""


@dataclass(frozen=True, slots=True)
class Held:
    """The room of this worker is held for `task`; `slots` and `resources` are what there is beside it."""

    worker_id: str
    task: Task
    slots: int
    resources: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`waits` tells of a task that only workers have room for on which it failed, whether it waits for another."""

    lanes: Sequence[Lane]
    rooms: Sequence[Room]
    held: Sequence[Held] = ()
    waits: Callable[[Task], bool] = lambda _: False


@dataclass(frozen=True, slots=True)
class Placement:
    task: Task
    worker_id: str


class Plan(list[Placement]):
    """In the order of decision."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: list[tuple[Task, int]] = []
        """Tasks that found no room for the resources they need, and how many placements went before."""


def place(snapshot: Snapshot) -> Plan:
    """Decide who runs what, in the order of decision. Changes nothing; equal snapshots give equal plans."""
    reserved = {one.worker_id: one for one in snapshot.held}
    left = {room.worker_id: _Left(room) for room in snapshot.rooms if room.worker_id not in reserved}
    held = [_Held(room, reserved[room.worker_id]) for room in snapshot.rooms if room.worker_id in reserved]
    total = sum(one.slots + one.prefetch for one in (*left.values(), *held))
    waiting: list[Iterator[Task]] = []
    heads: list[_Head] = []
    current: list[Task] = []
    for index, lane in enumerate(snapshot.lanes):
        tasks = iter(lane.tasks)
        first = next(tasks, None)
        waiting.append(tasks)
        if first is not None:
            current.append(first)
            heads.append((-lane.priority, first.ready_at, first.task_id, index))
        else:
            current.append(None)  # type: ignore[arg-type]  # an empty lane has no head that names this place
    heapify(heads)
    ranked: dict[Shape, list[Rank]] = {}
    plan = Plan()
    while heads and total > 0:
        priority, _, _, index = heads[0]
        lane, task = snapshot.lanes[index], current[index]
        shape = lane.shape
        ranking = ranked.get(shape)
        if ranking is None:
            ranking = ranked[shape] = _rank(shape, left)
        if lane.shuns:
            chosen = _choose(ranking, left, shape, (*lane.shuns, task.avoid_worker_id))
            if chosen is not None and chosen.worker_id in lane.shuns and snapshot.waits(task):
                chosen = None  # and so do all behind it in this lane, for they became ready later
        else:
            chosen = _choose(ranking, left, shape, (task.avoid_worker_id,) if task.avoid_worker_id else ())
        if chosen is None and held:
            chosen = _choose_held(held, task, shuns=lane.shuns)
        if chosen is None:
            if shape.needs_resources:
                plan.passed.append((task, len(plan)))
            heappop(heads)  # room only shrinks: nothing further of this shape will fit either
            continue
        chosen.take(shape)
        for one in held:
            one.lift(task)
        total -= 1
        plan.append(Placement(task, chosen.worker_id))
        following = next(waiting[index], None)
        if following is None:
            heappop(heads)
        else:
            current[index] = following
            heapreplace(heads, (priority, following.ready_at, following.task_id, index))
    return plan


def has_labels(shape: Shape, labels: Mapping[str, str]) -> bool:
    """Tell whether a worker with these labels has all that the shape requires."""
    return all(labels.get(key) == value for key, value in shape.requires)


class _Left:
    """A room while a plan is being made of it."""

    __slots__ = ("cpu_m", "gpu", "labels", "memory_mb", "prefetch", "slots", "worker_id")

    def __init__(self, room: Room) -> None:
        self.worker_id, self.labels = room.worker_id, room.labels
        self.slots, self.prefetch = max(0, room.slots), max(0, room.prefetch)
        self.cpu_m, self.memory_mb, self.gpu = room.resources

    def rank(self) -> Rank | None:
        if self.slots:
            return (0, -self.slots, self.worker_id)
        if self.prefetch:
            return (1, -self.prefetch, self.worker_id)
        return None

    def holds(self, shape: Shape) -> bool:
        return shape.cpu_m <= self.cpu_m and shape.memory_mb <= self.memory_mb and shape.gpu <= self.gpu

    def take(self, shape: Shape) -> None:
        if self.slots:
            self.slots -= 1
        else:
            self.prefetch -= 1
        self.cpu_m -= shape.cpu_m
        self.memory_mb -= shape.memory_mb
        self.gpu -= shape.gpu


class _Held(_Left):
    """A room that is held for a task while a plan is being made of it; `spare` is what there is beside that task."""

    __slots__ = ("held_for", "spare", "spare_slots")

    def __init__(self, room: Room, held: Held) -> None:
        super().__init__(room)
        self.held_for: Task | None = held.task
        self.spare_slots, self.spare = held.slots, held.resources

    def admits(self, task: Task) -> bool:
        """Whether a task may have of this room: the one it is held for, one that goes before, one that fits beside."""
        other, shape = self.held_for, task.shape
        if other is None or other is task or task.claim() < other.claim():
            return True
        cpu_m, memory_mb, gpu = self.spare
        return self.spare_slots > 0 and shape.cpu_m <= cpu_m and shape.memory_mb <= memory_mb and shape.gpu <= gpu

    def take(self, shape: Shape) -> None:
        super().take(shape)
        cpu_m, memory_mb, gpu = self.spare
        self.spare = (cpu_m - shape.cpu_m, memory_mb - shape.memory_mb, gpu - shape.gpu)
        self.spare_slots -= 1

    def lift(self, placed: Task) -> None:
        """The task has been placed, here or elsewhere: others may have the rest."""
        if self.held_for is placed:
            self.held_for = None


def _rank(shape: Shape, left: Mapping[str, _Left]) -> list[Rank]:
    ranking = [
        rank
        for one in left.values()
        if (rank := one.rank()) is not None and has_labels(shape, one.labels) and one.holds(shape)
    ]
    heapify(ranking)
    return ranking


def _choose(
    ranking: list[Rank], left: Mapping[str, _Left], shape: Shape, avoid: Collection[str | None]
) -> _Left | None:
    """The best fit worker, of those to `avoid` the one that comes last there; None when nobody fits any more."""
    avoided: list[Rank] = []
    chosen: _Left | None = None
    while ranking and chosen is None:
        entry = ranking[0]
        one = left[entry[2]]
        actual = one.rank()
        if actual is None or not one.holds(shape):
            heappop(ranking)
        elif actual != entry:
            heapreplace(ranking, actual)
        elif avoid and entry[2] in avoid:
            avoided.append(heappop(ranking))
        else:
            chosen = one
    if avoided:
        for entry in avoided:
            heappush(ranking, entry)
        if chosen is None:
            order = list(avoid)
            chosen = left[max(avoided, key=lambda entry: order.index(entry[2]))[2]]
    return chosen


def _choose_held(held: Sequence["_Held"], task: Task, *, shuns: Collection[str]) -> "_Held | None":
    """A room that is held for this very task, or for another one and may take this one all the same."""
    for one in held:
        if (
            one.rank() is not None
            and has_labels(task.shape, one.labels)
            and one.holds(task.shape)
            and one.admits(task)
            and (one.worker_id not in shuns or one.held_for is task)
        ):
            return one
    return None
