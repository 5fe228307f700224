"""What is told again of an execution."""

from typing import Any

import pytest

from schemas.events import ExecutionFinished, ExecutionLost, ExecutionReturned, ExecutionStarted
from schemas.questions import Overdue
from shared.ids import new_id
from tests.unit.worker_manager.events import LATER, NOON
from worker_manager.domain import recall


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        ("running", None, ExecutionStarted),
        ("succeeded", None, ExecutionFinished),
        ("lost", "lost", ExecutionLost),
        ("cancelled", "returned", ExecutionReturned),
    ],
)
def test_what_is_told_again_says_what_the_worker_is_called_and_what_it_put_out(
    status: str, reason: str | None, kind: type
) -> None:
    ids = {name: new_id() for name in ("task_id", "job_id", "worker_id", "incarnation")}
    outcome = {"status": status, "reason": reason, "detail": None, "exit_code": None, "log_chunks": 0}
    times = {"log_truncated": False, "started_at": NOON, "finished_at": LATER}
    row: dict[str, Any] = {"id": new_id(), "attempt": 1, "worker_name": "north", **ids, **outcome, **times}
    row["outputs"] = '{"TAG":"v1"}' if kind is ExecutionFinished else None
    asked = {name: row[name] for name in ("task_id", "job_id", "attempt")} | {"execution_id": row["id"]}

    [event] = recall.events([row], Overdue(status="scheduled", **asked))

    assert isinstance(event, kind)
    assert getattr(event, "worker_name", None) == "north"
    assert not isinstance(event, ExecutionFinished) or event.outputs == {"TAG": "v1"}
