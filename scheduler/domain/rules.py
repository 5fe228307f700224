"""The rules of which worker may get which task; `placement` applies them, and `explain` gives them as reasons.

A rule has a name, a predicate, and the rest of a sentence about a worker that it refuses (`is offline`). Rules look at
different things: a worker, a worker as if nothing were placed there, the free room for a shape, or the task. `RULES` is
in the order in which an explanation looks for a reason.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from scheduler.domain.model import Shape, Task
from scheduler.domain.room import HeldSpot, Spot
from scheduler.domain.worker import KnownWorker

Waits = Callable[[Task], bool]
"""Whether a task still waits for another worker than those on which it failed."""

IS_OFFLINE: Final = "is offline"


@dataclass(frozen=True, slots=True)
class WorkerRule:
    """Whether a worker takes work at all."""

    name: str
    allows: Callable[[KnownWorker], bool]
    sentence: Callable[[KnownWorker], str]


@dataclass(frozen=True, slots=True)
class WholeRule:
    """Whether a worker could take a task of this shape if nothing were placed there.

    Placement needs only the stricter rule `implied_by`; this rule exists to give a better reason.
    """

    name: str
    implied_by: str
    allows: Callable[[Shape, KnownWorker], bool]
    sentence: Callable[[Shape, KnownWorker], str]


@dataclass(frozen=True, slots=True)
class ShapeRule:
    """Whether a worker's room fits a shape."""

    name: str
    allows: Callable[[Shape, Spot], bool]
    sentence: Callable[[Shape, KnownWorker], str]


@dataclass(frozen=True, slots=True)
class TaskRule:
    """Whether one task may have a room that fits its shape.

    The predicate gets the task, the workers on which it failed before, the room, and a function that returns whether
    the task waits for another worker.
    """

    name: str
    allows: Callable[[Task, Collection[str], Spot, Waits], bool]
    sentence: Callable[[Task, Spot, str], str]
    """Gets the time until which the task waits for another worker, as text."""


Rule = WorkerRule | WholeRule | ShapeRule | TaskRule


def has_labels(shape: Shape, labels: Mapping[str, str]) -> bool:
    """Whether a worker with these labels has every label that the shape requires."""
    for key, value in shape.requires:  # noqa: SIM110  # `all` would take twice the time, for each worker and shape
        if labels.get(key) != value:
            return False
    return True


def could_hold(worker: KnownWorker, shape: Shape) -> bool:
    """Whether the worker takes work and would have a free slot and the resources, if nothing were placed there."""
    return (
        worker.slots >= 1 and takes_work(worker) and has_labels(shape, worker.tags()) and CAPACITY.allows(shape, worker)
    )


def takes_work(worker: KnownWorker) -> bool:
    """Whether the worker takes any work now."""
    for rule in WORKER_RULES:  # noqa: SIM110  # as above
        if not rule.allows(worker):
            return False
    return True


def _needs(shape: Shape) -> tuple[int, int, int]:
    return (shape.cpu_m, shape.memory_mb, shape.gpu)


def _has_capacity(shape: Shape, worker: KnownWorker) -> bool:
    cpu_m, memory_mb, gpu = worker.whole()
    return shape.cpu_m <= cpu_m and shape.memory_mb <= memory_mb and shape.gpu <= gpu


def _has_free_resources(shape: Shape, spot: Spot) -> bool:
    return shape.cpu_m <= spot.cpu_m and shape.memory_mb <= spot.memory_mb and shape.gpu <= spot.gpu


def _is_not_kept_from(task: Task, shuns: Collection[str], spot: Spot, _waits: Waits) -> bool:
    """Whether the worker is not reserved, is reserved for this task or for one of lower claim, or has room beside the
    reserving task. On a reserved worker where the task failed, only a reservation for the task itself counts."""
    if not isinstance(spot, HeldSpot):
        return True
    other = spot.held_for
    if _is_held_for(task, spot):
        return True
    if spot.worker_id in shuns:
        return False
    if other is None or task.claim() < other.claim():
        return True
    cpu_m, memory_mb, gpu = spot.spare
    shape = task.shape
    return spot.spare_slots > 0 and shape.cpu_m <= cpu_m and shape.memory_mb <= memory_mb and shape.gpu <= gpu


def _is_held_for(task: Task, spot: HeldSpot) -> bool:
    return spot.held_for is not None and spot.held_for.task_id == task.task_id


def _is_not_shunned(task: Task, shuns: Collection[str], spot: Spot, waits: Waits) -> bool:
    if isinstance(spot, HeldSpot) and _is_held_for(task, spot):
        return True
    return spot.worker_id not in shuns or not waits(task)


def _missing_labels(shape: Shape, worker: KnownWorker) -> str:
    tags = worker.tags()
    faults = []
    for key, wanted in shape.requires:
        has = tags.get(key)
        if has is None:
            faults.append(f"lacks the label {key}={wanted}")
        elif has != wanted:
            faults.append(f"has {key}={has}, the task requires {key}={wanted}")
    return "; ".join(faults)


def _lacking(shape: Shape, has: tuple[int, int, int], what: str) -> str:
    return "; ".join(
        f"has {name} {got} {what}, the task needs {need}"
        for name, need, got in zip(("cpu_m", "memory_mb", "gpu"), _needs(shape), has, strict=True)
        if need > got
    )


def _reserved_for(_task: Task, spot: Spot, _until: str) -> str:
    other = spot.held_for if isinstance(spot, HeldSpot) else None
    return f"is reserved for task {other.task_id}, which needs more" if other else "is reserved"


AGENT: Final = WorkerRule("agent", lambda worker: worker.has_agent, lambda _: "has no agent")
ONLINE: Final = WorkerRule("online", lambda worker: worker.online, lambda _: IS_OFFLINE)
NOT_DRAINING: Final = WorkerRule(
    "not draining",
    lambda worker: not worker.drained and not worker.draining,
    lambda _: "is draining and accepts no new work",
)
HEALTHY: Final = WorkerRule(
    "healthy", lambda worker: worker.unhealthy is None, lambda worker: f"is unhealthy: {worker.unhealthy}"
)
LABELS: Final = ShapeRule("labels", lambda shape, spot: has_labels(shape, spot.labels), _missing_labels)
CAPACITY: Final = WholeRule(
    "capacity", "free resources", _has_capacity, lambda shape, worker: _lacking(shape, worker.whole(), "in all")
)
OFFERS_SLOTS: Final = WholeRule(
    "offers slots",
    "free slot",
    lambda _, worker: worker.slots + worker.prefetch > 0,
    lambda _, __: "offers no slots",
)
NOT_RESERVED: Final = TaskRule("not reserved", _is_not_kept_from, _reserved_for)
FREE_SLOT: Final = ShapeRule(
    "free slot",
    lambda _, spot: spot.slots > 0 or spot.prefetch > 0,
    lambda _, worker: f"has no free slot: {worker.busy} placed, {worker.slots} slots",
)
FREE_RESOURCES: Final = ShapeRule(
    "free resources",
    _has_free_resources,
    lambda shape, worker: _lacking(shape, worker.free_resources(), "free"),
)
NOT_SHUNNED: Final = TaskRule(
    "no failed attempt",
    _is_not_shunned,
    lambda _, __, until: f"had an attempt that failed: the task waits for another worker until {until}",
)

RULES: Final[tuple[Rule, ...]] = (
    AGENT,
    ONLINE,
    NOT_DRAINING,
    HEALTHY,
    LABELS,
    CAPACITY,
    OFFERS_SLOTS,
    NOT_RESERVED,
    FREE_SLOT,
    FREE_RESOURCES,
    NOT_SHUNNED,
)
WORKER_RULES: Final = tuple(rule for rule in RULES if isinstance(rule, WorkerRule))
SHAPE_RULES: Final = tuple(rule for rule in RULES if isinstance(rule, ShapeRule))
TASK_RULES: Final = tuple(rule for rule in RULES if isinstance(rule, TaskRule))
