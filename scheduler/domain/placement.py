"""Decides which worker gets which waiting task: a pure function of a snapshot.

Filter, then rank. A worker fits when every rule of `scheduler.domain.rules` allows it. The fitting worker with the most
free slots wins; room to prefetch counts only when no fitting worker has a free slot. Tasks go by priority, then by the
time at which they became ready; a task that fits nowhere does not hold up others. The worker that a task avoids is its
last resort. A worker that is reserved for one task takes others only as their last resort
(`scheduler.domain.reservations`).

The cost grows with the placed tasks, not the waiting ones: a lane is read only as far as its tasks are placed. Workers
are ranked once per shape, in a heap whose stale entries are corrected when they reach the top. That is enough because
room only shrinks while a plan is made, so that an entry's rank can only get worse.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace

from scheduler.domain.model import Shape, Task
from scheduler.domain.room import Held, HeldSpot, Rank, Room, Spot
from scheduler.domain.rules import FREE_RESOURCES, SHAPE_RULES, TASK_RULES

_Head = tuple[int, object, str, int]


@dataclass(frozen=True, slots=True)
class Lane:
    """Waiting tasks of one shape and one priority, in the order in which they became ready."""

    shape: Shape
    priority: int
    tasks: Iterable[Task]
    shuns: tuple[str, ...] = ()
    """The workers on which all these tasks have failed before."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The input of a plan. `waits(task)` is whether a task waits for another worker when only those on which it failed
    have room."""

    lanes: Sequence[Lane]
    rooms: Sequence[Room]
    held: Sequence[Held] = ()
    waits: Callable[[Task], bool] = lambda _: False


@dataclass(frozen=True, slots=True)
class Placement:
    task: Task
    worker_id: str


class Plan(list[Placement]):
    """Placements in the order in which they were decided."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: list[tuple[Task, int]] = []
        """Tasks that found no room for the resources they need, each with the number of placements before it."""


def place(snapshot: Snapshot) -> Plan:
    """Decide the placements. Changes nothing; equal snapshots give equal plans."""
    reserved = {one.worker_id: one for one in snapshot.held}
    left = {room.worker_id: Spot(room) for room in snapshot.rooms if room.worker_id not in reserved}
    held = [HeldSpot(room, reserved[room.worker_id]) for room in snapshot.rooms if room.worker_id in reserved]
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
            if chosen is not None and not _may_have(task, lane.shuns, chosen, snapshot.waits):
                chosen = None  # the same holds for all behind it in this lane, as they became ready later
        else:
            chosen = _choose(ranking, left, shape, (task.avoid_worker_id,) if task.avoid_worker_id else ())
        if chosen is None and held:
            chosen = _choose_held(held, task, lane.shuns, snapshot.waits)
        if chosen is None:
            if shape.needs_resources:
                plan.passed.append((task, len(plan)))
            heappop(heads)  # room only shrinks, so the rest of this lane will not fit either
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


def _may_have(task: Task, shuns: Collection[str], spot: Spot, waits: Callable[[Task], bool]) -> bool:
    return all(rule.allows(task, shuns, spot, waits) for rule in TASK_RULES)


def _rank(shape: Shape, left: Mapping[str, Spot]) -> list[Rank]:
    fit: Iterable[Spot] = left.values()
    for rule in SHAPE_RULES:
        allows = rule.allows
        fit = [one for one in fit if allows(shape, one)]
    ranking = [rank for one in fit if (rank := one.rank()) is not None]
    heapify(ranking)
    return ranking


def _choose(ranking: list[Rank], left: Mapping[str, Spot], shape: Shape, avoid: Collection[str | None]) -> Spot | None:
    """The best fitting worker. If only workers to `avoid` fit, the last of them in `avoid`; None if none fits."""
    avoided: list[Rank] = []
    chosen: Spot | None = None
    while ranking and chosen is None:
        entry = ranking[0]
        one = left[entry[2]]
        actual = one.rank()
        if actual is None or not FREE_RESOURCES.allows(shape, one):  # without a rank it has no free slot
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


def _choose_held(
    held: Sequence[HeldSpot], task: Task, shuns: Collection[str], waits: Callable[[Task], bool]
) -> HeldSpot | None:
    """A reserved worker that may take the task: it is reserved for this task, or has room beside another one."""
    for one in held:
        if all(rule.allows(task.shape, one) for rule in SHAPE_RULES) and _may_have(task, shuns, one, waits):
            return one
    return None
