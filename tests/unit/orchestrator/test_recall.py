"""What is told again of an execution."""

import pytest

from orchestrator.domain.executions import ExecutionRow
from orchestrator.recall import told_again
from schemas.events import ExecutionFinished, ExecutionLost, ExecutionReturned
from schemas.questions import Overdue
from schemas.states import ExecutionStatus, Reason
from shared.clock import now
from shared.ids import new_id


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        ("succeeded", None, ExecutionFinished),
        ("lost", "lost", ExecutionLost),
        ("cancelled", "returned", ExecutionReturned),
    ],
)
def test_what_is_told_again_names_the_worker_and_has_the_labels(status: str, reason: str | None, kind: type) -> None:
    ids = {name: new_id() for name in ("task_id", "job_id", "execution_id", "worker_id", "incarnation")}
    row = ExecutionRow(
        ids["execution_id"],
        ids["job_id"],
        ids["task_id"],
        1,
        ids["worker_id"],
        ExecutionStatus(status),
        now(),
        worker_name="north",
        labels={"team": "web"},
        reason=None if reason is None else Reason(reason),
        finished_at=now(),
    )

    [event] = told_again(
        [Overdue.model_validate({"attempt": 1, "status": "running", **ids})], {ids["execution_id"]: row}
    )

    assert isinstance(event, kind)
    assert getattr(event, "worker_name", None) == "north"
    assert getattr(event, "labels", None) == {"team": "web"}
