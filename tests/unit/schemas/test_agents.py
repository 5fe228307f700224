"""What an agent can say at the most."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from schemas.agents import MAX_NAMED, MAX_STOPPED, Heartbeat
from schemas.specs import MAX_PREFETCH, MAX_SLOTS

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
