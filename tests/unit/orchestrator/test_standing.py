"""A report of an agent counts only if its execution is the one that is placed on its worker."""

from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.domain.definition import StepRules
from orchestrator.domain.run import JobRun
from orchestrator.domain.standing import Standing, standing
from orchestrator.domain.state import JobState, TaskState
from schemas.events import ExecutionFinished, ExecutionStarted, TaskScheduled
from schemas.specs import RunSpec
from schemas.states import Reason, TaskStatus

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_run(**task: Any) -> JobRun:
    fields = {"status": TaskStatus.SCHEDULED, "attempt": 2, "execution_id": "e5", "worker_id": "north"} | task
    return JobRun(JobState("j", "job", NOON), {"t": TaskState("t", StepRules("main"), **fields)}, lambda: 0.0)


def started(**said: Any) -> ExecutionStarted:
    ids = {"execution_id": "e5", "task_id": "t", "job_id": "j", "attempt": 2, "worker_id": "north"}
    return ExecutionStarted.model_validate({**ids, "incarnation": "i", "started_at": NOON, **said})


def finished(**said: Any) -> ExecutionFinished:
    begun = started(**said).model_dump() | {"status": "succeeded", "exit_code": 0, "finished_at": NOON}
    return ExecutionFinished.model_validate(begun)


@pytest.mark.parametrize(
    ("task", "said", "expected"),
    [
        pytest.param({}, {}, Standing.OWN, id="placed on the worker that reports"),
        pytest.param({}, {"worker_id": "south"}, Standing.FOREIGN, id="placed on another worker"),
        pytest.param({}, {"attempt": 1}, Standing.STALE, id="an earlier attempt"),
        pytest.param({}, {"task_id": "other"}, Standing.STALE, id="no task of the job"),
        pytest.param({"status": TaskStatus.SUCCEEDED}, {}, Standing.STALE, id="over"),
        pytest.param({"status": TaskStatus.SUCCEEDED}, {"worker_id": "south"}, Standing.STALE, id="over, by another"),
        pytest.param({}, {"execution_id": "e4"}, Standing.EARLY, id="placed later, by a slower clock"),
        pytest.param({}, {"execution_id": "e6"}, Standing.EARLY, id="placed later, perhaps"),
        pytest.param({}, {"execution_id": "e6", "worker_id": "south"}, Standing.EARLY, id="placed elsewhere, perhaps"),
        pytest.param({}, {"attempt": 3}, Standing.EARLY, id="a later attempt"),
        pytest.param({"status": TaskStatus.QUEUED, "worker_id": None}, {}, Standing.EARLY, id="requested by id"),
        pytest.param(
            {"status": TaskStatus.QUEUED, "worker_id": None, "execution_id": None}, {}, Standing.EARLY, id="queued"
        ),
    ],
)
def test_a_report_stands_to_its_task(task: dict[str, Any], said: dict[str, Any], expected: Standing) -> None:
    run = a_run(**task)
    assert standing(run, started(**said)) is expected
    assert standing(run, finished(**said)) is expected


def test_a_placement_makes_the_reports_of_its_worker_count_until_the_next_attempt() -> None:
    run = a_run(status=TaskStatus.QUEUED, execution_id=None, worker_id=None)
    assert standing(run, started()) is Standing.EARLY
    run.apply(
        TaskScheduled(
            task_id="t",
            job_id="j",
            attempt=2,
            execution_id="e5",
            worker_id="north",
            incarnation="i",
            run=RunSpec(command="true"),
            scheduled_at=NOON,
        ),
        NOON,
    )
    assert standing(run, started()) is Standing.OWN
    run.again(run.tasks["t"], Reason.EXIT_CODE, NOON, avoids=())
    assert standing(run, started(attempt=3)) is Standing.EARLY
