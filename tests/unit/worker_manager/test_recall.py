"""What is told again of an execution."""

import pytest

from schemas.events import ExecutionFinished, ExecutionLost, ExecutionReturned, ExecutionStarted
from schemas.questions import Overdue
from schemas.states import ExecutionStatus
from shared.ids import new_id
from tests.unit.worker_manager.events import LATER, NOON
from worker_manager.domain import recall
from worker_manager.domain.recall import KnownExecution


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        ("running", None, ExecutionStarted),
        ("succeeded", None, ExecutionFinished),
        ("lost", "lost", ExecutionLost),
        ("cancelled", "returned", ExecutionReturned),
    ],
)
def test_what_is_told_again_names_the_worker_and_has_the_labels_and_outputs(
    status: str, reason: str | None, kind: type
) -> None:
    ids = {name: new_id() for name in ("task_id", "job_id", "worker_id", "incarnation")}
    row = KnownExecution(
        id=new_id(),
        attempt=1,
        worker_name="north",
        labels={"team": "web"},
        **ids,
        status=ExecutionStatus(status),
        reason=reason,
        detail=None,
        exit_code=None,
        log_chunks=0,
        log_truncated=False,
        outputs='{"TAG":"v1"}' if kind is ExecutionFinished else None,
        started_at=NOON,
        finished_at=LATER,
    )
    asked = {name: getattr(row, name) for name in ("task_id", "job_id", "attempt")} | {"execution_id": row.id}

    [event] = recall.events([row], Overdue(status="scheduled", **asked))

    assert isinstance(event, kind)
    assert getattr(event, "worker_name", None) == "north"
    assert getattr(event, "labels", None) == {"team": "web"}
    assert not isinstance(event, ExecutionFinished) or event.outputs == {"TAG": "v1"}
