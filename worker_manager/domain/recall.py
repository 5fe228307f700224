"""The events to publish again for an attempt of which another service has missed something.

Here: which events follow from the rows of the executions' table. Not here: reading the rows and publishing
(`worker_manager.recall`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from schemas.events import EventData, ExecutionFinished, ExecutionLost, ExecutionReturned, ExecutionStarted, LogSummary
from schemas.questions import Overdue
from schemas.states import EXECUTION, ExecutionStatus, Reason

Row = Mapping[str, Any]


def events(rows: Sequence[Row], overdue: Overdue) -> Iterator[EventData]:
    """The events about the attempt that the asker has missed. `rows` are all executions of its task."""
    for row in rows:
        if row["attempt"] != overdue.attempt or row["worker_id"] is None or row["incarnation"] is None:
            continue
        status = ExecutionStatus(row["status"])
        if EXECUTION.is_final(status):
            # A returned execution matters only to a service that takes it for the current one.
            if row["reason"] != Reason.RETURNED or row["id"] == overdue.execution_id:
                yield _ending(row, status)
        elif status is ExecutionStatus.RUNNING and overdue.status != "running" and row["started_at"] is not None:
            yield ExecutionStarted.model_validate(_ids(row) | {"started_at": row["started_at"]})


def is_unknown(rows: Sequence[Row], overdue: Overdue) -> bool:
    """Whether there is no order for the execution here."""
    if overdue.execution_id is None:
        return False
    return not any(row["id"] == overdue.execution_id and row["worker_id"] is not None for row in rows)


def _ending(row: Row, status: ExecutionStatus) -> EventData:
    if status is ExecutionStatus.LOST:
        lost = {"reason": row["reason"] or Reason.LOST, "detail": row["detail"] or "", "lost_at": row["finished_at"]}
        return ExecutionLost.model_validate(_ids(row) | lost)
    if row["reason"] == Reason.RETURNED:
        return ExecutionReturned.model_validate(_ids(row) | {"detail": row["detail"] or ""})
    names = ("status", "reason", "detail", "exit_code", "started_at", "finished_at")
    log = LogSummary(chunks=row["log_chunks"] or 0, truncated=row["log_truncated"])
    outputs = None if row["outputs"] is None else from_json(row["outputs"])
    fields = {name: row[name] for name in names} | {"log": log, "outputs": outputs}
    return ExecutionFinished.model_validate(_ids(row) | fields)


def _ids(row: Row) -> dict[str, Any]:
    names = ("task_id", "job_id", "attempt", "worker_id", "worker_name", "incarnation")
    return {"execution_id": row["id"]} | {name: row[name] for name in names}
