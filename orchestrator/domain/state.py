"""The state of a job and its tasks: loaded, changed by `orchestrator.domain.run`, and written back.

A step's rules never change and are shared (`orchestrator.domain.definition`); what changes is here. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from orchestrator.domain.concurrency import ClaimState, Key
from orchestrator.domain.definition import StepRules
from schemas.access import Actor
from schemas.matrix import title
from schemas.params import Scalar
from schemas.specs import CLEANUP_TIMEOUT, Priority
from schemas.states import JobStatus, Reason, TaskStatus
from schemas.steps import Decision

MOST_AVOIDED: Final = 10
"""The most workers that a task avoids because it failed there."""

_OUTPUT_BYTES: Final = 250
"""About how many bytes one output takes in memory besides its characters."""


@dataclass(slots=True)
class JobState:
    """The part of a job that changes while it runs, and the fields that its events carry."""

    id: str
    name: str
    created_at: datetime
    priority: Priority = "normal"
    priority_changes: int = 0
    """How often the priority was changed. The scheduler follows the change with the highest number."""
    pipeline_id: str | None = None
    schedule_id: str | None = None
    """The schedule that created it, for which its end is published."""
    params: Mapping[str, Scalar] = field(default_factory=dict)
    status: JobStatus = JobStatus.PENDING
    reason: Reason | None = None
    detail: str | None = None
    """The reason in words, where the reason alone does not explain enough."""
    stopping: Reason | None = None
    """Why the job is being stopped: `cancelled`, `job_timeout`, `superseded` or `concurrency_limit`."""
    deadline: datetime | None = None
    """The job's time limit; while it is being stopped, the limit of its clean-up, if that goes on."""
    time_left: timedelta | None = None
    """How much of its time is left, while that stands still because an approval waits, or the job for its key; it has
    no deadline then."""
    due_at: datetime | None = None
    """The first moment at which something is due: the deadline, or that of an approval."""
    cleanup_timeout: float = CLEANUP_TIMEOUT
    run_at: datetime | None = None
    """Nothing of it starts before, and no approval is asked."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    traceparent: str | None = None
    """The trace in which the job was submitted (W3C trace context), if any; the same holds for `tracestate`."""
    tracestate: str | None = None
    version: int = 0
    """How many times the job and its tasks were written before."""
    outputs_bytes: int | None = None
    """About how many bytes the outputs of its tasks take in memory, once they are counted."""
    claim: ClaimState | None = None
    """Whether it waits for its keys or holds them; it stays as it was when the job ends."""
    concurrency_key: str | None = None
    """The key that its user gave it."""
    created_by: Actor | None = None
    cancelled_by: Actor | None = None
    """Who requested its cancellation, or submitted the job that took its place."""

    @property
    def waits(self) -> bool:
        """Whether it waits for a key, so that none of its steps is decided."""
        return self.claim is ClaimState.WAITING

    @property
    def keys(self) -> list[Key]:
        """The keys that it claims, and perhaps that of its schedule."""
        if self.claim is None:
            return []
        keys = [Key("key", self.concurrency_key)] if self.concurrency_key is not None else []
        return [*keys, Key("schedule", self.schedule_id)] if self.schedule_id is not None else keys

    def starts_after(self, now: datetime) -> bool:
        """Whether its `run_at` is still to come."""
        return self.run_at is not None and self.run_at > now

    @property
    def cleaning_up(self) -> bool:
        """Whether the job is being stopped, and its `always` steps go on."""
        return self.stopping is not None and self.deadline is not None


@dataclass(slots=True)
class TaskState:
    """One task: the rules of its step, which never change, and its state."""

    id: str
    rules: StepRules
    status: TaskStatus = TaskStatus.PENDING
    reason: Reason | None = None
    detail: str | None = None
    attempt: int = 1
    crashes: int = 0
    stops: int = 0
    """How many attempts ended because their worker stopped on order."""
    exit_code: int | None = None
    outputs: Mapping[str, str] | None = None
    """What the last attempt wrote to `$HODEI_OUTPUT`, if anything."""
    execution_id: str | None = None
    """The execution of this attempt: the one requested by id, or the one placed last."""
    worker_id: str | None = None
    """The worker that this execution is placed on; None until that is known, and while nothing is placed."""
    run_at: datetime | None = None
    avoids: tuple[str, ...] = ()
    """The workers on which earlier attempts failed or were lost, the latest first."""
    decision: Decision | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def name(self) -> str:
        """The step's name."""
        return self.rules.name

    @property
    def matrix(self) -> dict[str, Scalar] | None:
        """The values of its step's matrix."""
        return None if self.rules.matrix is None else dict(self.rules.matrix)

    @property
    def title(self) -> str:
        """The name under which it is shown, with the values of its matrix."""
        return title(self.rules.name, self.rules.matrix)

    @property
    def asks(self) -> bool:
        """Whether it is an approval that waits for a decision."""
        return self.rules.approval is not None and self.status is TaskStatus.RUNNING

    @property
    def decide_by(self) -> datetime | None:
        """When an approval that waits fails without a decision."""
        approval = self.rules.approval
        if approval is None or approval.timeout is None or self.started_at is None or not self.asks:
            return None
        return self.started_at + timedelta(seconds=approval.timeout)

    @property
    def cleans_up(self) -> bool:
        """Whether it goes on while its job is being stopped."""
        return self.rules.cleans_up

    def avoiding(self, worker_id: str) -> tuple[str, ...]:
        """The workers to avoid, with this one first."""
        return (worker_id, *(one for one in self.avoids if one != worker_id))[:MOST_AVOIDED]


def outputs_bytes(tasks: Iterable[TaskState]) -> int:
    """About how many bytes the outputs of tasks take in memory."""
    return sum(
        _OUTPUT_BYTES + len(name) + len(value) for task in tasks if task.outputs for name, value in task.outputs.items()
    )
