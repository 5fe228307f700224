"""What is told again of an execution."""

import pytest

from orchestrator.recall import told_again
from schemas.events import ExecutionFinished, ExecutionLost, ExecutionReturned
from schemas.questions import Overdue
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
def test_what_is_told_again_says_what_the_worker_is_called(status: str, reason: str | None, kind: type) -> None:
    ids = {name: new_id() for name in ("task_id", "job_id", "execution_id", "worker_id", "incarnation")}
    row = {
        "worker_id": ids["worker_id"],
        "worker_name": "north",
        "status": status,
        "reason": reason,
        **dict.fromkeys(("detail", "exit_code", "started_at", "log_chunks")),
        "log_truncated": False,
        "finished_at": now(),
    }

    [event] = told_again(
        [Overdue.model_validate({"attempt": 1, "status": "running", **ids})], {ids["execution_id"]: row}
    )

    assert isinstance(event, kind)
    assert getattr(event, "worker_name", None) == "north"
