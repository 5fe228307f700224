"""How reports of one execution are folded into one row."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import permutations

import pytest

from orchestrator.domain.executions import ExecutionReport, fold
from schemas.events import ExecutionFinished, ExecutionStarted, LogSummary, TaskScheduled
from schemas.specs import RunSpec
from schemas.states import ExecutionStatus

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
IDS = {
    name: f"0192f0c1-2345-7abc-8def-{number:012}"
    for number, name in enumerate(("execution_id", "task_id", "job_id", "worker_id", "incarnation"))
}


def reports(named: str) -> list[ExecutionReport]:
    """The life of one execution; the report of this type names the worker."""
    log = LogSummary(chunks=0, lines=0, bytes=0, truncated=False)
    run = RunSpec.model_validate({"command": "true"})
    life: list[ExecutionReport] = [
        TaskScheduled(**IDS, attempt=1, run=run, scheduled_at=NOON),
        ExecutionStarted(**IDS, attempt=1, started_at=NOON),
        ExecutionFinished(
            **IDS, attempt=1, status=ExecutionStatus.SUCCEEDED, exit_code=0, started_at=NOON, finished_at=NOON, log=log
        ),
    ]
    return [one.model_copy(update={"worker_name": "north" if one.event_type == named else None}) for one in life]


@pytest.mark.parametrize("named", ["tasks.scheduled", "executions.started", "executions.finished"])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_workers_name_is_kept_whoever_says_it_and_when(named: str, order: tuple[int, ...]) -> None:
    life = reports(named)
    [row] = fold(life[place] for place in order)
    assert (row.worker_name, row.status) == ("north", ExecutionStatus.SUCCEEDED)
