"""The events to publish again for an attempt of which another service has missed something.

Here: which events follow from the rows of the executions' table. Not here: reading the rows and publishing
(`worker_manager.recall`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic_core import from_json

from schemas.events import EventData, ExecutionFinished, ExecutionLost, ExecutionReturned, ExecutionStarted, LogSummary
from schemas.questions import Overdue
from schemas.states import EXECUTION, ExecutionStatus, Reason


@dataclass(frozen=True, slots=True)
class KnownExecution:
    """One row of the executions' table. `worker_id` and `incarnation` are None without an order for it."""

    id: str
    task_id: str
    job_id: str
    attempt: int
    worker_id: str | None
    worker_name: str | None
    incarnation: str | None
    labels: dict[str, str] | None
    status: ExecutionStatus
    reason: str | None
    detail: str | None
    exit_code: int | None
    log_chunks: int | None
    log_truncated: bool
    outputs: str | None
    """JSON."""
    started_at: datetime | None
    finished_at: datetime | None


def events(rows: Sequence[KnownExecution], overdue: Overdue) -> Iterator[EventData]:
    """The events about the attempt that the asker has missed. `rows` are all executions of its task."""
    for row in rows:
        if row.attempt != overdue.attempt or row.worker_id is None or row.incarnation is None:
            continue
        if EXECUTION.is_final(row.status):
            # A returned execution matters only to a service that takes it for the current one.
            if row.reason != Reason.RETURNED or row.id == overdue.execution_id:
                yield _ending(row)
        elif row.status is ExecutionStatus.RUNNING and overdue.status != "running" and row.started_at is not None:
            yield ExecutionStarted.model_validate(_ids(row) | {"started_at": row.started_at})


def is_unknown(rows: Sequence[KnownExecution], overdue: Overdue) -> bool:
    """Whether there is no order for the execution here."""
    if overdue.execution_id is None:
        return False
    return not any(row.id == overdue.execution_id and row.worker_id is not None for row in rows)


def _ending(row: KnownExecution) -> EventData:
    if row.status is ExecutionStatus.LOST:
        lost = {"reason": row.reason or Reason.LOST, "detail": row.detail or "", "lost_at": row.finished_at}
        return ExecutionLost.model_validate(_ids(row) | lost)
    if row.reason == Reason.RETURNED:
        return ExecutionReturned.model_validate(_ids(row) | {"detail": row.detail or ""})
    names = ("status", "reason", "detail", "exit_code", "started_at", "finished_at")
    log = LogSummary(chunks=row.log_chunks or 0, truncated=row.log_truncated)
    outputs = None if row.outputs is None else from_json(row.outputs)
    fields = {name: getattr(row, name) for name in names} | {"log": log, "outputs": outputs}
    return ExecutionFinished.model_validate(_ids(row) | fields)


def _ids(row: KnownExecution) -> dict[str, object]:
    names = ("task_id", "job_id", "attempt", "worker_id", "worker_name", "incarnation", "labels")
    return {"execution_id": row.id} | {name: getattr(row, name) for name in names}
