"""Outputs that no process can have written are dropped from its outcome."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.events import ExecutionFinished
from schemas.outputs import MAX_OUTPUTS
from schemas.states import ExecutionStatus, Reason

IDS = {"execution_id": "e", "task_id": "t", "job_id": "j", "attempt": 1, "worker_id": "w", "incarnation": "i"}


def outcome(status: str, outputs: dict[str, str] | None, **fields: Any) -> ExecutionFinished:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return ExecutionFinished.model_validate(
        IDS | {"status": status, "finished_at": moment, "outputs": outputs} | fields
    )


@pytest.mark.parametrize(
    "outputs", [None, {}, {"A": ""}, {"_a1" + 97 * "x": "a\nü\x01"}, {"A": (MAX_OUTPUTS - 1) * "x"}]
)
def test_valid_outputs_are_kept(outputs: dict[str, str] | None) -> None:
    sent = outcome("succeeded", outputs)
    assert sent.checked() is sent


@pytest.mark.parametrize(
    ("outputs", "fault"),
    [
        ({"A": "x", "B": "a\0b"}, "the output B has a NUL character"),
        ({"A": "\ud800"}, "the output A is not Unicode text"),
        ({"A\0": ""}, "A\\x00 cannot be the name of an output"),
        ({"A\n": ""}, "A\\n cannot be the name of an output"),
        ({"1": ""}, "1 cannot be the name of an output"),
        ({101 * "x": ""}, f"{100 * 'x'} cannot be the name of an output"),
        ({"A": "ü" * (MAX_OUTPUTS // 2)}, "the outputs have 65,537 bytes; those of a step have at most 65,536"),
    ],
)
def test_a_success_with_other_outputs_has_failed(outputs: dict[str, str], fault: str) -> None:
    # pydantic refuses a lone surrogate where it validates, so that they are put in afterwards
    got = outcome("succeeded", None).model_copy(update={"outputs": outputs}).checked()
    assert (got.status, got.reason, got.outputs) == (ExecutionStatus.FAILED, Reason.BAD_OUTPUT, None)
    assert got.detail == f"its outputs were dropped: {fault}"


def test_a_failure_with_such_outputs_keeps_its_reason() -> None:
    got = outcome("failed", {"A": "\0"}, reason="signal", detail="killed").checked()
    assert (got.status, got.reason, got.detail, got.outputs) == (ExecutionStatus.FAILED, Reason.SIGNAL, "killed", None)
