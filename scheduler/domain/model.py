"""The words of the domain: a task in the scheduler's hands, and the shape of what it needs.

Here: data. How tasks are ordered is the queue's business, who takes them the placement's, what is written the
store's.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final

from schemas.events import ExecutionFinished, ExecutionLost
from schemas.specs import PRIORITY_RANK, Priority, Resources
from schemas.states import Reason

SHUN_FOR: Final = timedelta(seconds=15)
"""How long an attempt waits for another fit worker to have room before it goes back to one where it failed."""

PRIORITY_NAMES: Final[dict[int, Priority]] = {rank: name for name, rank in PRIORITY_RANK.items()}


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, by two clocks: the wall clock for times in events and rows, and a monotonic clock (seconds) for leases."""

    wall: datetime
    monotonic: float


class TaskState(StrEnum):
    """Where a task is: waiting for a worker, placed on one, or over as far as this attempt is concerned."""

    WAITING = "waiting"
    PLACED = "placed"
    DONE = "done"


class Outcome(StrEnum):
    """How an attempt left the scheduler's hands."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a task needs of a worker; tasks of one shape fit the same workers. Labels are sorted by key."""

    requires: tuple[tuple[str, str], ...] = ()
    cpu_m: int = 0
    memory_mb: int = 0
    gpu: int = 0

    @classmethod
    def of(cls, requires: dict[str, str], resources: Resources | None) -> "Shape":
        labels = tuple(sorted(requires.items())) if requires else ()
        if resources is None:
            return _shape(labels, 0, 0, 0)
        return _shape(labels, resources.cpu_m, resources.memory_mb, resources.gpu)

    @property
    def needs_resources(self) -> bool:
        """Tell whether it asks for anything that a stated capacity limits."""
        return bool(self.cpu_m or self.memory_mb or self.gpu)


@lru_cache(maxsize=4096)  # many tasks are of few shapes, and share them
def _shape(requires: tuple[tuple[str, str], ...], cpu_m: int, memory_mb: int, gpu: int) -> Shape:
    return Shape(requires, cpu_m, memory_mb, gpu)


@dataclass(slots=True, eq=False)
class Task:
    """One attempt of one task. Higher `priority` goes first, then the earlier `ready_at`, then the lower id.

    What it runs is not here: however many tasks wait, that costs no memory.
    """

    task_id: str
    job_id: str
    attempt: int
    name: str
    priority: int
    shape: Shape
    queued_at: datetime
    ready_at: datetime
    """The later of `queued_at` and `run_at`: since when it could run."""
    run_at: datetime | None = None
    queue_deadline: datetime | None = None
    wanted_execution_id: str | None = None
    avoid_worker_id: str | None = None
    """The worker that gave this attempt back: another is better, if there is room now."""
    shuns: tuple[str, ...] = ()
    """The workers on which earlier attempts failed or were lost: another is worth a short wait."""
    state: TaskState = TaskState.WAITING
    execution_id: str | None = None
    worker_id: str | None = None
    worker_name: str | None = None
    incarnation: str | None = None
    placed_at: datetime | None = None
    cancel_reason: Reason | None = None
    outcome: Outcome | None = None
    report: ExecutionFinished | ExecutionLost | None = None
    """What ended it, where an execution's end did."""
    stored: bool = field(default=False)
    """Whether the tables know this attempt."""
    traceparent: str | None = None
    """The trace of this attempt, if it has one."""
    ticket: int = 0
    """Which of the queue's entries for it are valid, counted from 1; negative, or 0, when it is not in the queue. Small
    numbers, since a large one of its own for each task would take memory."""
    ready: bool = False
    """Whether it is in the queue, and its time has come."""

    @property
    def waits(self) -> bool:
        """Whether it is in the queue."""
        return self.ticket > 0

    def __lt__(self, other: "Task") -> bool:
        """For the heaps of the queue, where entries may differ in nothing but the task: any order will do."""
        return False

    def claim(self) -> tuple[int, datetime, str]:
        """Its place among all that waits: the lower, the earlier it goes."""
        return (-self.priority, self.ready_at, self.task_id)

    @property
    def patient_until(self) -> datetime:
        """Until when it waits for a worker on which it has not failed."""
        return self.ready_at + SHUN_FOR


@dataclass(frozen=True, slots=True)
class Reservation:
    """A worker is kept for `task`; `before` are the executions that were placed there when that was decided."""

    task: Task
    before: frozenset[str]
