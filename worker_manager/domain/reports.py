"""Folding: of all that a batch of events says about one execution, the one row that comes out.

Here: what each event means for an execution's status, reason and times. Not here: whether the table already knows
better; that is guarded in SQL by the same ranks (`record_reports`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from schemas.cloudevents import CloudEvent
from schemas.events import (
    EventData,
    ExecutionCompleted,
    ExecutionFinished,
    ExecutionLost,
    ExecutionRefused,
    ExecutionReturned,
    ExecutionStarted,
    TaskExpired,
    TaskScheduled,
    TaskWithdrawn,
)
from schemas.states import EXECUTION, ExecutionStatus, Reason


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of one execution, from its worker or from the scheduler."""

    execution_id: str
    task_id: str
    job_id: str
    worker_id: str
    incarnation: str
    attempt: int
    status: ExecutionStatus
    reason: Reason | None = None
    detail: str | None = None
    exit_code: int | None = None
    log_chunks: int | None = None
    log_truncated: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    placed_at: datetime | None = None
    """When it was placed, if the order stood in the same batch."""
    worker_name: str | None = None

    @property
    def rank(self) -> int:
        """How far along its life this puts the execution."""
        return EXECUTION.rank(self.status)


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A task that left the queue without a worker: what a direct request for it has come to."""

    task_id: str
    attempt: int
    status: ExecutionStatus
    reason: Reason
    detail: str
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    """A direct request that the orchestrator closed itself: turned down, or with nothing to run."""

    execution_id: str
    status: ExecutionStatus
    finished_at: datetime
    reason: Reason | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Folded:
    """A batch, one entry per entity."""

    reports: list[Report]
    unplaced: list[Unplaced]
    settled: list[Settled]


def fold(events: Iterable[CloudEvent[EventData]]) -> Folded:
    """Fold events, in the order in which they were said. The first outcome of an execution holds."""
    reports: dict[str, Report] = {}
    unplaced: dict[tuple[str, int], Unplaced] = {}
    settled: dict[str, Settled] = {}
    placed: dict[str, TaskScheduled] = {}
    for event in events:
        match event.data:
            case TaskScheduled() as data:
                placed[data.execution_id] = data
            case TaskWithdrawn() | TaskExpired() as data:
                unplaced.setdefault((data.task_id, data.attempt), _unplaced(data, event.time))
            case ExecutionRefused() | ExecutionCompleted() as data:
                settled.setdefault(data.execution_id, settle(data, event.time))
            case ExecutionStarted() | ExecutionFinished() | ExecutionLost() | ExecutionReturned() as data:
                report = _report(data, event.time)
                if order := placed.get(report.execution_id):
                    name = order.worker_name or report.worker_name
                    report = replace(report, placed_at=order.scheduled_at, worker_name=name)
                before = reports.get(report.execution_id)
                reports[report.execution_id] = report if before is None else _later(before, report)
    return Folded(list(reports.values()), list(unplaced.values()), list(settled.values()))


def settle(data: ExecutionRefused | ExecutionCompleted, said_at: datetime) -> Settled:
    """What the orchestrator's answer makes of a direct request."""
    match data:
        case ExecutionRefused():
            return Settled(data.execution_id, ExecutionStatus.FAILED, said_at, Reason.START_FAILED, data.detail)
        case ExecutionCompleted():
            return Settled(data.execution_id, ExecutionStatus.SUCCEEDED, data.finished_at)


def _later(before: Report, report: Report) -> Report:
    """The one that is further along, with the time of the start and the worker's name if either knows it."""
    best, other = (report, before) if report.rank > before.rank else (before, report)
    return replace(
        best, started_at=best.started_at or other.started_at, worker_name=best.worker_name or other.worker_name
    )


def _report(
    data: ExecutionStarted | ExecutionFinished | ExecutionLost | ExecutionReturned, said_at: datetime
) -> Report:
    name = data.worker_name
    ids = (data.execution_id, data.task_id, data.job_id, data.worker_id, data.incarnation, data.attempt)
    match data:
        case ExecutionStarted():
            return Report(*ids, ExecutionStatus.RUNNING, started_at=data.started_at, worker_name=name)
        case ExecutionFinished():
            return Report(
                *ids,
                ExecutionStatus(data.status),
                reason=data.reason,
                detail=data.detail,
                exit_code=data.exit_code,
                log_chunks=data.log.chunks,
                log_truncated=data.log.truncated,
                started_at=data.started_at,
                finished_at=data.finished_at,
                worker_name=name,
            )
        case ExecutionLost():
            return Report(
                *ids,
                ExecutionStatus.LOST,
                reason=data.reason,
                detail=data.detail,
                finished_at=data.lost_at,
                worker_name=name,
            )
        case ExecutionReturned():
            # It never began, so it has no outcome of its own; the attempt goes on as another execution.
            return Report(
                *ids,
                ExecutionStatus.CANCELLED,
                reason=Reason.RETURNED,
                detail=data.detail,
                log_chunks=0,
                finished_at=said_at,
                worker_name=name,
            )


def _unplaced(data: TaskWithdrawn | TaskExpired, said_at: datetime) -> Unplaced:
    if isinstance(data, TaskExpired):
        status, reason, detail = ExecutionStatus.FAILED, Reason.QUEUE_TIMEOUT, "no worker took it within queue_timeout"
    else:
        status, reason, detail = ExecutionStatus.CANCELLED, data.reason, "cancelled before any worker took it"
    return Unplaced(data.task_id, data.attempt, status, reason, detail, said_at)
