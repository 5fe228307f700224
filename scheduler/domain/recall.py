"""The events to publish again for an attempt of which another service has missed events, from the scheduler's tables.

Pure functions. Reading the rows and publishing are in `scheduler.recall`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from scheduler.domain.model import Outcome, TaskState
from schemas.events import (
    EventData,
    ExecutionCancelRequested,
    ExecutionFinished,
    ExecutionLost,
    ExecutionReturned,
    TaskExpired,
    TaskScheduled,
    TaskWithdrawn,
)
from schemas.params import Scalar
from schemas.questions import Overdue
from schemas.specs import RunSpec
from schemas.states import Reason


@dataclass(frozen=True, slots=True)
class Known:
    """A task's row: its latest attempt. `report` is the data of the event that ended it, as JSON, if there was one;
    `run` is its run spec as JSON, None once it is over."""

    task_id: str
    job_id: str
    attempt: int
    name: str
    state: TaskState
    run: str | None = None
    labels: dict[str, str] | None = None
    matrix: dict[str, Scalar] | None = None
    index: int | None = None
    execution_id: str | None = None
    worker_id: str | None = None
    worker_name: str | None = None
    incarnation: str | None = None
    placed_at: datetime | None = None
    cancel_reason: Reason | None = None
    outcome: Outcome | None = None
    report: str | None = None
    traceparent: str | None = None


def events(known: Known, overdue: Overdue) -> Iterator[EventData]:
    """The events that the asking service has missed of this attempt; none of any other attempt."""
    if known.attempt != overdue.attempt:
        return
    if known.state is TaskState.DONE:
        ending = _ending(known)
        if ending is not None:
            yield ending
        reported = ending.execution_id if isinstance(ending, ExecutionFinished | ExecutionLost) else None
        if overdue.execution_id not in (reported, known.execution_id):
            yield from _returned(overdue, known)
        return
    if known.execution_id != overdue.execution_id:
        yield from _returned(overdue, known)
    if known.state is TaskState.PLACED and (overdue.status == "queued" or known.execution_id != overdue.execution_id):
        yield from order(known)


def order(known: Known) -> Iterator[EventData]:
    """The order to run a placed task, and the order to stop it if its cancellation was requested."""
    if known.run is None or known.placed_at is None:
        return
    ids = {"task_id": known.task_id, "job_id": known.job_id, "attempt": known.attempt}
    place = {"execution_id": known.execution_id, "worker_id": known.worker_id}
    yield TaskScheduled(
        **ids,
        **place,
        name=known.name,
        matrix=known.matrix,
        index=known.index,
        worker_name=known.worker_name,
        incarnation=known.incarnation or "",
        labels=known.labels,
        run=RunSpec.model_validate_json(known.run),
        scheduled_at=known.placed_at,
    )
    if known.cancel_reason is not None:
        yield ExecutionCancelRequested.model_validate({**ids, **place, "reason": known.cancel_reason})


def _ending(known: Known) -> EventData | None:
    match known.outcome:
        case Outcome.EXPIRED:
            return TaskExpired(task_id=known.task_id, job_id=known.job_id, attempt=known.attempt)
        case Outcome.WITHDRAWN:
            reason = known.cancel_reason or Reason.CANCELLED
            return TaskWithdrawn(task_id=known.task_id, job_id=known.job_id, attempt=known.attempt, reason=reason)
        case Outcome.LOST:
            return ExecutionLost.model_validate_json(known.report) if known.report else None
        case Outcome.SUCCEEDED | Outcome.FAILED | Outcome.TIMED_OUT | Outcome.CANCELLED | None:
            return ExecutionFinished.model_validate_json(known.report) if known.report else None
    assert_never(known.outcome)


def _returned(overdue: Overdue, known: Known) -> Iterator[EventData]:
    """The return of the execution in the question, which is not the attempt's current one and, as far as is known,
    never began."""
    if overdue.status != "scheduled" or not (overdue.execution_id and overdue.worker_id and overdue.incarnation):
        return
    yield ExecutionReturned(
        execution_id=overdue.execution_id,
        task_id=overdue.task_id,
        job_id=overdue.job_id,
        attempt=overdue.attempt,
        worker_id=overdue.worker_id,
        incarnation=overdue.incarnation,
        labels=known.labels,
        detail="its worker gave it back before it started",
    )
