"""The data types of the domain: a task in the scheduler, and the shape of its needs.

Here: data only. `queue` orders tasks, `placement` chooses their workers, and the store writes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final

from pydantic import TypeAdapter

from schemas.events import ExecutionFinished, ExecutionLost, TaskQueued
from schemas.params import Scalar
from schemas.specs import PRIORITY_RANK, Priority, Resources
from schemas.states import Reason

SHUN_FOR: Final = timedelta(seconds=15)
"""How long an attempt waits for room on another fitting worker before it may go back to one where it failed."""

PRIORITY_NAMES: Final[dict[int, Priority]] = {rank: name for name, rank in PRIORITY_RANK.items()}


@dataclass(frozen=True, slots=True)
class Moment:
    """The current time by two clocks: the wall clock for events and rows, a monotonic clock (seconds) for leases."""

    wall: datetime
    monotonic: float


class TaskState(StrEnum):
    """The state of an attempt: waiting for a worker, placed on one, or over."""

    WAITING = "waiting"
    PLACED = "placed"
    DONE = "done"


class Outcome(StrEnum):
    """How an attempt ended for the scheduler."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class StepFields:
    """The fields of a step that the scheduler keeps with its task. A field has the name of a field of `tasks.queued`,
    from which it is taken, and of a column of `tasks`, in which it is stored."""

    requires: Mapping[str, str] = field(default_factory=dict)
    resources: Resources | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    matrix: Mapping[str, Scalar] | None = None
    index: int | None = None

    @classmethod
    def of(cls, order: TaskQueued) -> "StepFields":
        """The fields of an order. Orders of one step share one object, to save memory when many tasks wait."""
        return StepFields(**{name: getattr(order, name) for name in _STEP_FIELDS}).shared()

    def shared(self) -> "StepFields":
        """Equal fields, as an object that is shared."""
        return NO_FIELDS if self == NO_FIELDS else _shared(_AS_JSON.dump_json(self))


NO_FIELDS: Final = StepFields()
_STEP_FIELDS: Final = tuple(one.name for one in fields(StepFields))
_AS_JSON: Final = TypeAdapter(StepFields)


@lru_cache(maxsize=4096)
def _shared(json: bytes) -> StepFields:
    return _AS_JSON.validate_json(json)


@dataclass(frozen=True, slots=True)
class Shape:
    """The labels and resources that a task needs; tasks of one shape fit the same workers. Labels are sorted by key."""

    requires: tuple[tuple[str, str], ...] = ()
    cpu_m: int = 0
    memory_mb: int = 0
    gpu: int = 0

    @classmethod
    def of(cls, step: StepFields) -> "Shape":
        labels = tuple(sorted(step.requires.items())) if step.requires else ()
        if step.resources is None:
            return _shape(labels, 0, 0, 0)
        return _shape(labels, step.resources.cpu_m, step.resources.memory_mb, step.resources.gpu)

    @property
    def needs_resources(self) -> bool:
        """Whether it needs any resource that a capacity limits."""
        return bool(self.cpu_m or self.memory_mb or self.gpu)


@lru_cache(maxsize=4096)  # many tasks share few shapes
def _shape(requires: tuple[tuple[str, str], ...], cpu_m: int, memory_mb: int, gpu: int) -> Shape:
    return Shape(requires, cpu_m, memory_mb, gpu)


@dataclass(slots=True, eq=False)
class Task:
    """One attempt of one task. Higher `priority` goes first, then the earlier `ready_at`, then the lower id.

    Its run spec is not here, to save memory when many tasks wait (`scheduler.store.payloads`).
    """

    task_id: str
    job_id: str
    attempt: int
    name: str
    priority: int
    shape: Shape
    queued_at: datetime
    ready_at: datetime
    """The later of `queued_at` and `run_at`: when it could first run."""
    step: StepFields = NO_FIELDS
    """The fields of its step as they are written to its row; `shape` is the part by which it is placed."""
    run_at: datetime | None = None
    queue_deadline: datetime | None = None
    wanted_execution_id: str | None = None
    avoid_worker_id: str | None = None
    """The worker that gave this attempt back: another one with room is preferred."""
    shuns: tuple[str, ...] = ()
    """The workers on which earlier attempts failed or were lost: the task waits SHUN_FOR for another one."""
    state: TaskState = TaskState.WAITING
    execution_id: str | None = None
    worker_id: str | None = None
    worker_name: str | None = None
    incarnation: str | None = None
    placed_at: datetime | None = None
    cancel_reason: Reason | None = None
    outcome: Outcome | None = None
    report: ExecutionFinished | ExecutionLost | None = None
    """The event that ended it, if an execution's end did."""
    stored: bool = field(default=False)
    """Whether the attempt has its row."""
    traceparent: str | None = None
    """The trace of this attempt, if it has one."""
    ticket: int = 0
    """The ticket that makes its queue entries valid, counted from 1; 0 or negative if it is not in the queue. Tickets
    are counted per task, because Python shares small integers and large ones would take memory."""
    ready: bool = False
    """Whether it is in the queue and due."""

    @property
    def labels(self) -> dict[str, str] | None:
        """The labels of its step, as its events have them."""
        return dict(self.step.labels) or None

    @property
    def matrix(self) -> dict[str, Scalar] | None:
        """The values of its step's matrix, as its events have them."""
        return None if self.step.matrix is None else dict(self.step.matrix)

    @property
    def waits(self) -> bool:
        """Whether it is in the queue."""
        return self.ticket > 0

    def __lt__(self, other: "Task") -> bool:
        """For the queue's heaps, whose entries may be equal except for the task: any order will do."""
        return False

    def claim(self) -> tuple[int, datetime, str]:
        """Its sort key among waiting tasks: the lower, the earlier it is placed."""
        return (-self.priority, self.ready_at, self.task_id)

    @property
    def patient_until(self) -> datetime:
        """The time until which it waits for a worker on which it has not failed."""
        return self.ready_at + SHUN_FOR


@dataclass(frozen=True, slots=True)
class Reservation:
    """A worker's reservation for `task`; `before` are the executions that were placed there when it was made."""

    task: Task
    before: frozenset[str]
