"""Refusals of version 1, with an HTTP status, are still read; none is written."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from schemas.cloudevents import MalformedEvents, decode_batch, encode_batch, wrap
from schemas.events import ExecutionRefused, ScheduleRefused
from schemas.refusals import RefusalReason

IDS = {"execution_id": "e", "task_id": "t", "job_id": "j", "attempt": 1}


def version_1(event_type: str, **data: object) -> bytes:
    """A message of a platform whose refusals had a status."""
    envelope = {"id": "1", "source": "/hodei/orchestrator", "subject": "x", "time": "2026-01-01T00:00:00Z"}
    return json.dumps([{**envelope, "type": f"hodei.{event_type}.v1", "data": data}]).encode()


@pytest.mark.parametrize(
    ("status", "reason"),
    [(404, RefusalReason.NOT_FOUND), (409, RefusalReason.CONFLICT), (422, RefusalReason.INVALID)],
)
def test_a_status_is_read_as_its_reason(status: int, reason: RefusalReason) -> None:
    data = {"status": status, "detail": "no"}
    [schedule] = decode_batch("schedules.refused", version_1("schedules.refused", schedule_id="s", **data))
    assert schedule.data == ScheduleRefused(schedule_id="s", reason=reason, detail="no")
    [execution] = decode_batch("executions.refused", version_1("executions.refused", **IDS, **data))
    assert execution.data == ExecutionRefused(**IDS, reason=reason, detail="no")


@pytest.mark.parametrize("data", [{}, {"status": 418}, {"status": 503}, {"status": "404"}, {"reason": "sad"}])
def test_what_gives_no_reason_is_malformed(data: dict[str, object]) -> None:
    with pytest.raises(MalformedEvents, match="reason"):
        decode_batch("schedules.refused", version_1("schedules.refused", schedule_id="s", detail="no", **data))


def test_what_is_written_has_a_reason_and_no_status() -> None:
    refused = ScheduleRefused(schedule_id="s", reason=RefusalReason.NOT_FOUND, detail="no")
    [event] = json.loads(encode_batch([wrap(refused, id="1", source="/x", time=datetime.now(UTC))]))
    assert event["data"] == {"schedule_id": "s", "reason": "not_found", "detail": "no"}
    assert event["type"] == "hodei.schedules.refused.v2"
