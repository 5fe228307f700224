"""The lifecycles, as data: which state may follow which, for jobs, tasks, executions and workers.

One table per lifecycle and one small engine; everything that decides whether a change is legal lives here.
SQL guards use `rank`: a report may only move an entity to a state of a higher rank, so that a late or
repeated message changes nothing. The diagrams in docs/ are generated from these tables.

A task is the one entity that may go back: a retry or a lost worker returns it to `queued` under the next
attempt number. Ranks therefore compare only within one attempt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Final, Generic, TypeVar

from pydantic import BeforeValidator


class JobStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TaskStatus(StrEnum):
    PENDING = "pending"
    QUEUED = "queued"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class ExecutionStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    LOST = "lost"


class WorkerStatus(StrEnum):
    """A worker as the scheduler sees it: may work be placed there?"""

    ONLINE = "online"
    DRAINING = "draining"
    UNHEALTHY = "unhealthy"
    """Its agent is there, and says that no command can start on its machine."""
    OFFLINE = "offline"


class WorkerProcessStatus(StrEnum):
    """A worker as the worker manager sees it: its process."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


class ScheduleStatus(StrEnum):
    SCHEDULED = "scheduled"
    PAUSED = "paused"
    """It does not fire until it is resumed, except on request."""
    COMPLETED = "completed"
    """It has no due time left."""
    FAILED = "failed"
    """What it runs does not exist or cannot run."""


class FiringKind(StrEnum):
    """Why a schedule fired."""

    TIME = "time"
    """It was due."""
    CATCH_UP = "catch_up"
    """It had been due while no scheduler ran."""
    TRIGGER = "trigger"
    """It was fired by a request."""


class FiringOutcome(StrEnum):
    """The result of one due time of a schedule."""

    WAITING = "waiting"
    """The schedule is about to catch up on it."""
    FIRED = "fired"
    """Its job was ordered, and is not over."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    """There is no job, because an earlier one was not over."""
    MISSED = "missed"
    """No scheduler could fire it in time, and it was not caught up on."""
    REFUSED = "refused"
    """The job could not be created."""


class Reason(StrEnum):
    """Why a task or an execution ended the way it did. A success needs no reason."""

    EXIT_CODE = "exit_code"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    QUEUE_TIMEOUT = "queue_timeout"
    JOB_TIMEOUT = "job_timeout"
    LOST = "lost"
    CANCELLED = "cancelled"
    DEPENDENCY_FAILED = "dependency_failed"
    DEPENDENCY_CANCELLED = "dependency_cancelled"
    DEPENDENCY_SKIPPED = "dependency_skipped"
    NOT_NEEDED = "not_needed"
    """The step runs only after a failure, and none of the steps that it depends on failed."""
    CONDITION = "condition"
    """The step's `if` was false."""
    BAD_CONDITION = "bad_condition"
    """The step's `if` could not be evaluated."""
    BAD_EXPRESSION = "bad_expression"
    """An expression of the step has no value, or one that no process can be started with."""
    REJECTED = "rejected"
    """An approval was refused."""
    FAIL_FAST = "fail_fast"
    """Another task of the same matrix failed."""
    CLEANUP_TIMEOUT = "cleanup_timeout"
    """The job was stopped, and its `cleanup_timeout` was over before this step was."""
    START_FAILED = "start_failed"
    """The process could not be started: no such program, no such directory, not permitted."""
    RETURNED = "returned"
    """The worker gave the execution back before it began (draining, or no room left)."""
    WORKER_STOPPED = "worker_stopped"
    """The worker was stopped on order while it ran: no crash, and none of the attempts that may fail."""
    BAD_OUTPUT = "bad_output"
    """The process exited with 0, but what it wrote to $HODEI_OUTPUT is not valid."""
    TOO_LARGE = "too_large"
    """Its order is larger than the NATS server takes, which was not so when the job was submitted."""
    SUPERSEDED = "superseded"
    """A newer job with the same concurrency key has taken its place."""
    CONCURRENCY_LIMIT = "concurrency_limit"
    """As many jobs as may run hold its concurrency key, and it does not wait for them."""
    FENCED = "fenced"
    """The worker was told to stop an attempt that is no longer the current one."""


_REASONS: Final = frozenset[str](Reason)


def _or_cancelled(value: object) -> object:
    return Reason.CANCELLED if isinstance(value, str) and value not in _REASONS else value


StopReason = Annotated[Reason, BeforeValidator(_or_cancelled)]
"""Why something must stop, or was stopped. One that only a newer version knows counts as `cancelled`: the request is
carried out all the same."""


class IllegalTransition(ValueError):
    """The entity's state does not allow that change; nothing was changed."""

    def __init__(self, machine: str, current: str, target: str) -> None:
        super().__init__(f"{machine}: {current} cannot become {target}")
        self.machine, self.current, self.target = machine, current, target


S = TypeVar("S", bound=StrEnum)


@dataclass(frozen=True)
class StateMachine(Generic[S]):
    """A lifecycle: `transitions[state]` is what may follow; a state that nothing follows is final."""

    name: str
    initial: S
    transitions: Mapping[S, frozenset[S]]
    ranks: Mapping[S, int]

    def allows(self, current: S, target: S) -> bool:
        """Tell whether `target` may follow `current`; staying where one is, is no transition."""
        return target in self.transitions[current]

    def advance(self, current: S, target: S) -> S:
        """Return `target`, or raise IllegalTransition."""
        if not self.allows(current, target):
            raise IllegalTransition(self.name, current, target)
        return target

    def is_final(self, state: S) -> bool:
        """Tell whether nothing follows `state`."""
        return not self.transitions[state]

    @cached_property
    def final(self) -> frozenset[S]:
        """The states that nothing follows."""
        return frozenset(state for state in self.transitions if self.is_final(state))

    def rank(self, state: S) -> int:
        """How far along its life an entity in `state` is; all final states share the highest rank."""
        return self.ranks[state]


def _machine(name: str, initial: S, transitions: Mapping[S, set[S]], ranks: Mapping[S, int]) -> StateMachine[S]:
    return StateMachine(name, initial, {state: frozenset(nxt) for state, nxt in transitions.items()}, ranks)


_J, _T, _E = JobStatus, TaskStatus, ExecutionStatus
_W, _P, _C = WorkerStatus, WorkerProcessStatus, ScheduleStatus

# A job without steps succeeds at once; a job can also fail or be cancelled before anything ran.
JOB: Final = _machine(
    "job",
    _J.PENDING,
    {
        _J.PENDING: {_J.RUNNING, _J.SUCCEEDED, _J.FAILED, _J.CANCELLED},
        _J.RUNNING: {_J.SUCCEEDED, _J.FAILED, _J.CANCELLED},
        _J.SUCCEEDED: set(),
        _J.FAILED: set(),
        _J.CANCELLED: set(),
    },
    {_J.PENDING: 0, _J.RUNNING: 1, _J.SUCCEEDED: 2, _J.FAILED: 2, _J.CANCELLED: 2},
)

# Reports may overtake each other: an outcome can arrive before its own "started" or "scheduled" did.
# The way back to `queued` is the next attempt (retry, lost worker).
_ENDED: Final = {_T.SUCCEEDED, _T.FAILED, _T.CANCELLED}
TASK: Final = _machine(
    "task",
    _T.PENDING,
    {
        _T.PENDING: {_T.QUEUED, _T.RUNNING, _T.SKIPPED, _T.CANCELLED, _T.FAILED},
        _T.QUEUED: {_T.SCHEDULED, _T.RUNNING, _T.QUEUED} | _ENDED,
        _T.SCHEDULED: {_T.RUNNING, _T.QUEUED} | _ENDED,
        _T.RUNNING: {_T.QUEUED} | _ENDED,
        _T.SUCCEEDED: set(),
        _T.FAILED: set(),
        _T.CANCELLED: set(),
        _T.SKIPPED: set(),
    },
    {
        _T.PENDING: 0,
        _T.QUEUED: 1,
        _T.SCHEDULED: 2,
        _T.RUNNING: 3,
        _T.SUCCEEDED: 4,
        _T.FAILED: 4,
        _T.CANCELLED: 4,
        _T.SKIPPED: 4,
    },
)

_CLOSED: Final = {_E.SUCCEEDED, _E.FAILED, _E.CANCELLED, _E.TIMED_OUT, _E.LOST}
EXECUTION: Final = _machine(
    "execution",
    _E.PENDING,
    {
        _E.PENDING: {_E.RUNNING} | _CLOSED,
        _E.RUNNING: _CLOSED,
        _E.SUCCEEDED: set(),
        _E.FAILED: set(),
        _E.CANCELLED: set(),
        _E.TIMED_OUT: set(),
        _E.LOST: set(),
    },
    {_E.PENDING: 0, _E.RUNNING: 1} | dict.fromkeys(_CLOSED, 2),
)

# An offline worker may come back: the same worker under a new incarnation, still draining if that was ordered.
WORKER: Final = _machine(
    "worker",
    _W.ONLINE,
    {
        _W.ONLINE: {_W.UNHEALTHY, _W.DRAINING, _W.OFFLINE},
        _W.UNHEALTHY: {_W.ONLINE, _W.DRAINING, _W.OFFLINE},
        _W.DRAINING: {_W.OFFLINE, _W.ONLINE, _W.UNHEALTHY},
        _W.OFFLINE: {_W.ONLINE, _W.UNHEALTHY, _W.DRAINING},
    },
    {_W.ONLINE: 0, _W.UNHEALTHY: 1, _W.DRAINING: 2, _W.OFFLINE: 3},
)

WORKER_PROCESS: Final = _machine(
    "worker process",
    _P.STARTING,
    {
        _P.STARTING: {_P.RUNNING, _P.DRAINING, _P.STOPPED, _P.FAILED},
        _P.RUNNING: {_P.DRAINING, _P.STOPPED, _P.FAILED},
        _P.DRAINING: {_P.STOPPED, _P.FAILED},
        _P.STOPPED: set(),
        _P.FAILED: set(),
    },
    {_P.STARTING: 0, _P.RUNNING: 1, _P.DRAINING: 2, _P.STOPPED: 3, _P.FAILED: 3},
)

# A change of its times or of what it runs brings a schedule back.
SCHEDULE: Final = _machine(
    "schedule",
    _C.SCHEDULED,
    {
        _C.SCHEDULED: {_C.PAUSED, _C.COMPLETED, _C.FAILED},
        _C.PAUSED: {_C.SCHEDULED, _C.COMPLETED, _C.FAILED},
        _C.COMPLETED: {_C.SCHEDULED, _C.PAUSED},
        _C.FAILED: {_C.SCHEDULED, _C.PAUSED},
    },
    {_C.SCHEDULED: 0, _C.PAUSED: 0, _C.COMPLETED: 1, _C.FAILED: 1},
)
