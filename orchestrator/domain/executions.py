"""Folds the reports of one batch into one row for each execution, with the most advanced status that was reported.

The statement that writes the rows compares them with the stored ones. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from schemas.events import ExecutionFinished, ExecutionLost, ExecutionStarted, TaskScheduled
from schemas.states import EXECUTION, ExecutionStatus, Reason

ExecutionReport = TaskScheduled | ExecutionStarted | ExecutionFinished | ExecutionLost


@dataclass(slots=True)
class ExecutionRow:
    """One execution. `placed_at` is the time of the earliest report, or the placement's own if that came first."""

    id: str
    job_id: str
    task_id: str
    attempt: int
    worker_id: str
    status: ExecutionStatus
    placed_at: datetime
    worker_name: str | None = None
    reason: Reason | None = None
    detail: str | None = None
    exit_code: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    log_chunks: int | None = None
    log_truncated: bool = False
    labels: dict[str, str] | None = None
    """Those of its step, when it is read: they are stored with the task."""


def fold(reports: Iterable[ExecutionReport]) -> list[ExecutionRow]:
    """One row for each execution, in the order of the first reports. The first final report wins over later ones."""
    rows: dict[str, ExecutionRow] = {}
    for report in reports:
        row = _row(report)
        known = rows.get(row.id)
        if known is None:
            rows[row.id] = row
        elif EXECUTION.rank(row.status) > EXECUTION.rank(known.status):
            row.started_at = row.started_at or known.started_at
            row.worker_name = known.worker_name or row.worker_name
            row.placed_at = min(row.placed_at, known.placed_at)
            rows[row.id] = row
        else:
            known.worker_name = known.worker_name or row.worker_name
    return list(rows.values())


def _row(report: ExecutionReport) -> ExecutionRow:
    match report:
        case TaskScheduled():
            status, placed_at = ExecutionStatus.PENDING, report.scheduled_at
        case ExecutionStarted():
            status, placed_at = ExecutionStatus.RUNNING, report.started_at
        case ExecutionFinished():
            status, placed_at = ExecutionStatus(report.status), report.started_at or report.finished_at
        case ExecutionLost():
            status, placed_at = ExecutionStatus.LOST, report.lost_at
        case _:
            assert_never(report)
    row = ExecutionRow(
        report.execution_id, report.job_id, report.task_id, report.attempt, report.worker_id, status, placed_at
    )
    row.worker_name = report.worker_name
    match report:
        case ExecutionStarted():
            row.started_at = report.started_at
        case ExecutionFinished():
            row.reason, row.detail, row.exit_code = report.reason, report.detail, report.exit_code
            row.started_at, row.finished_at = report.started_at, report.finished_at
            row.log_chunks, row.log_truncated = report.log.chunks, report.log.truncated
        case ExecutionLost():
            row.reason, row.detail, row.finished_at = report.reason, report.detail, report.lost_at
        case TaskScheduled():
            pass
        case _:
            assert_never(report)
    return row
