"""Folding: the events of a batch about one execution become one report.

Here: what each event means for an execution's status, reason and times. Not here: whether the table is further along
already; SQL checks that by the same ranks (`record_reports`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from schemas.cloudevents import CloudEvent, by_agent
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
    """What a batch tells of one execution, by its worker or by the scheduler."""

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
    outputs: Mapping[str, str] | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    placed_at: datetime | None = None
    """When it was placed, if the order is in the same batch."""
    worker_name: str | None = None
    labels: dict[str, str] | None = None
    placed: bool = False
    """Whether it is known that the execution is placed on this worker: its order is in the same batch, or a service
    tells of it. Otherwise the tables decide."""

    @property
    def rank(self) -> int:
        """How far along its life this puts the execution."""
        return EXECUTION.rank(self.status)

    @property
    def created_at(self) -> datetime | None:
        """When the execution was placed, or the earliest time that the report has."""
        return self.placed_at or self.started_at or self.finished_at


@dataclass(frozen=True, slots=True)
class Unplaced:
    """The end of a direct request whose task left the queue without a worker."""

    task_id: str
    attempt: int
    status: ExecutionStatus
    reason: Reason
    detail: str
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    """The end of a direct request that the orchestrator closed: refused, or with nothing to run."""

    execution_id: str
    status: ExecutionStatus
    finished_at: datetime
    reason: Reason | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Folded:
    """What a batch comes to, with one entry per execution or task."""

    reports: list[Report]
    unplaced: list[Unplaced]
    settled: list[Settled]
    foreign: list[Report]
    """Reports of agents on executions that are placed on other workers."""


def fold(events: Sequence[CloudEvent[EventData]]) -> Folded:
    """Fold events, in the order in which they were published. The first outcome of an execution is kept."""
    reports: dict[tuple[str, str], Report] = {}
    unplaced: dict[tuple[str, int], Unplaced] = {}
    settled: dict[str, Settled] = {}
    foreign: list[Report] = []
    placed = {event.data.execution_id: event.data for event in events if isinstance(event.data, TaskScheduled)}
    for event in events:
        match event.data:
            case TaskScheduled():
                pass
            case TaskWithdrawn() | TaskExpired() as data:
                unplaced.setdefault((data.task_id, data.attempt), _unplaced(data, event.time))
            case ExecutionRefused() | ExecutionCompleted() as data:
                settled.setdefault(data.execution_id, settle(data, event.time))
            case ExecutionStarted() | ExecutionFinished() | ExecutionLost() | ExecutionReturned() as data:
                report = _report(data, event.time)
                order = placed.get(report.execution_id)
                if by_agent(event) and order is not None and order.worker_id != report.worker_id:
                    foreign.append(report)
                    continue
                if order is not None:
                    report = replace(
                        report,
                        placed=True,
                        task_id=order.task_id,
                        job_id=order.job_id,
                        attempt=order.attempt,
                        placed_at=order.scheduled_at,
                        worker_name=order.worker_name or report.worker_name,
                        labels=order.labels or report.labels,
                    )
                elif not by_agent(event):
                    report = replace(report, placed=True)
                key = (report.execution_id, report.worker_id)
                before = reports.get(key)
                reports[key] = report if before is None else _later(before, report)
    return Folded(list(reports.values()), list(unplaced.values()), list(settled.values()), foreign)


def settle(data: ExecutionRefused | ExecutionCompleted, said_at: datetime) -> Settled:
    """The end of a direct request by the orchestrator's verdict."""
    match data:
        case ExecutionRefused():
            return Settled(data.execution_id, ExecutionStatus.FAILED, said_at, Reason.START_FAILED, data.detail)
        case ExecutionCompleted():
            return Settled(data.execution_id, ExecutionStatus.SUCCEEDED, data.finished_at)
    assert_never(data)


def _later(before: Report, report: Report) -> Report:
    """The report that is further along, with the start's time, the worker's name and the labels from either of them."""
    best, other = (report, before) if report.rank > before.rank else (before, report)
    return replace(
        best,
        started_at=best.started_at or other.started_at,
        worker_name=best.worker_name or other.worker_name,
        labels=best.labels or other.labels,
        placed=best.placed or other.placed,
    )


def _report(
    data: ExecutionStarted | ExecutionFinished | ExecutionLost | ExecutionReturned, said_at: datetime
) -> Report:
    name, labels = data.worker_name, data.labels
    ids = (data.execution_id, data.task_id, data.job_id, data.worker_id, data.incarnation, data.attempt)
    match data:
        case ExecutionStarted():
            return Report(*ids, ExecutionStatus.RUNNING, started_at=data.started_at, worker_name=name, labels=labels)
        case ExecutionFinished():
            return Report(
                *ids,
                ExecutionStatus(data.status),
                reason=data.reason,
                detail=data.detail,
                exit_code=data.exit_code,
                log_chunks=data.log.chunks,
                log_truncated=data.log.truncated,
                outputs=data.outputs,
                started_at=data.started_at,
                finished_at=data.finished_at,
                worker_name=name,
                labels=labels,
            )
        case ExecutionLost():
            return Report(
                *ids,
                ExecutionStatus.LOST,
                reason=data.reason,
                detail=data.detail,
                finished_at=data.lost_at,
                worker_name=name,
                labels=labels,
            )
        case ExecutionReturned():
            # It never began, so it has no outcome; the attempt goes on as another execution.
            return Report(
                *ids,
                ExecutionStatus.CANCELLED,
                reason=Reason.RETURNED,
                detail=data.detail,
                log_chunks=0,
                finished_at=said_at,
                worker_name=name,
                labels=labels,
            )
    assert_never(data)


def _unplaced(data: TaskWithdrawn | TaskExpired, said_at: datetime) -> Unplaced:
    if isinstance(data, TaskExpired):
        status, reason, detail = ExecutionStatus.FAILED, Reason.QUEUE_TIMEOUT, "no worker took it within queue_timeout"
    else:
        status, reason, detail = ExecutionStatus.CANCELLED, data.reason, "cancelled before any worker took it"
    return Unplaced(data.task_id, data.attempt, status, reason, detail, said_at)
