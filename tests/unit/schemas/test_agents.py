"""What an agent can say at the most."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from schemas.agents import MAX_NAMED, MAX_STOPPED, PROTOCOL, Heartbeat, Stop
from schemas.events import ExecutionCancelRequested, TaskCancelRequested, TaskWithdrawn
from schemas.model import EventModel
from schemas.specs import MAX_PREFETCH, MAX_SLOTS
from schemas.states import Reason

BEAT = {
    "worker_id": "w", "incarnation": "i", "name": "w", "type": "t", "sent_at": "2026-11-28T12:00:00Z",
    "slots": MAX_SLOTS, "prefetch": MAX_PREFETCH,
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "most"),
    [(name, MAX_NAMED) for name in ("running", "waiting", "reporting", "over")] + [("stopped", MAX_STOPPED)],
)
def test_a_heartbeat_names_a_bounded_number_of_executions(field: str, most: int) -> None:
    assert len(getattr(Heartbeat.model_validate(BEAT | {field: ["e"] * most}), field)) == most
    with pytest.raises(ValidationError, match=f"at most {most} items"):
        Heartbeat.model_validate(BEAT | {field: ["e"] * (most + 1)})


def test_all_that_an_agent_may_hold_can_be_named() -> None:
    assert 2 * MAX_SLOTS + MAX_PREFETCH < MAX_NAMED


@pytest.mark.parametrize(("field", "most"), [("slots", MAX_SLOTS), ("prefetch", MAX_PREFETCH)])
def test_a_worker_offers_no_more_than_its_settings_allow(field: str, most: int) -> None:
    with pytest.raises(ValidationError, match=f"less than or equal to {most}"):
        Heartbeat.model_validate(BEAT | {field: most + 1})


IDS = {"execution_ids": ["e"], "execution_id": "e", "task_id": "t", "job_id": "j", "attempt": 1, "worker_id": "w"}


@pytest.mark.parametrize("kind", [Stop, ExecutionCancelRequested, TaskCancelRequested, TaskWithdrawn])
@pytest.mark.parametrize(
    ("reason", "means"),
    [("from_the_future", Reason.CANCELLED), ("fenced", Reason.FENCED), (Reason.FAIL_FAST, Reason.FAIL_FAST)],
)
def test_a_stop_for_an_unknown_reason_counts_as_cancelled(kind: type[EventModel], reason: str, means: Reason) -> None:
    assert getattr(kind.model_validate(IDS | {"reason": reason}), "reason") is means  # noqa: B009
    with pytest.raises(ValidationError, match="reason"):
        kind.model_validate(IDS | {"reason": 7})


def test_an_agent_that_sends_no_protocol_number_is_of_an_earlier_version() -> None:
    assert Heartbeat.model_validate(BEAT).protocol < PROTOCOL
