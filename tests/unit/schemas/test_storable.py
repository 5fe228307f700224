"""A worker's report with values that no table can store is refused when it is decoded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from schemas.cloudevents import ForeignEvents, MalformedEvents, decode_batch, encode_batch, source_of, wrap
from schemas.events import ExecutionFinished, LogSummary
from schemas.states import ExecutionStatus

WORKER, ID = "01a20000-0000-7000-8000-000000000001", "01a20000-0000-7000-8000-000000000002"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FINISHED = ExecutionFinished(
    execution_id=ID,
    task_id=ID,
    job_id=ID,
    attempt=1,
    worker_id=WORKER,
    incarnation=ID,
    status=ExecutionStatus.FAILED,
    exit_code=1,
    finished_at=NOON,
    labels={"path": "\\u0000"},
    outputs={"TEXT": "a\\u0000b"},
)


def message(*, time: datetime = NOON, **changes: object) -> bytes:
    data = FINISHED.model_copy(update=changes)
    return encode_batch([wrap(data, id="1", source=source_of(WORKER), time=time)])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"execution_id": "mine"}, "an id that is not a UUID"),
        ({"task_id": "t"}, "an id that is not a UUID"),
        ({"job_id": ID.upper()}, "an id that is not a UUID"),
        ({"incarnation": ""}, "an id that is not a UUID"),
        ({"attempt": 2**31}, "an attempt that is out of range"),
        ({"attempt": 0}, "an attempt that is out of range"),
        ({"exit_code": 2**31}, "an exit code that is out of range"),
        ({"exit_code": -(2**40)}, "an exit code that is out of range"),
        ({"log": LogSummary(chunks=2**31)}, "a number of the log that is out of range"),
        ({"log": LogSummary(bytes=2**63)}, "a number of the log that is out of range"),
        ({"finished_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))}, "a time outside the years"),
        ({"started_at": datetime(9999, 12, 31, tzinfo=UTC)}, "a time outside the years"),
        ({"time": datetime(1, 1, 1, tzinfo=UTC)}, "a time outside the years"),
        ({"detail": "a\0b"}, "a NUL character"),
        ({"worker_name": "\0"}, "a NUL character"),
        ({"outputs": {"TEXT": "\0"}}, "a NUL character"),
        ({"labels": {"a\0": ""}}, "a NUL character"),
    ],
)
def test_a_workers_report_that_cannot_be_stored_is_refused(changes: dict[str, object], why: str) -> None:
    raw = message(**changes)  # type: ignore[arg-type]  # the time or fields of the report
    with pytest.raises(MalformedEvents, match=why) as caught:
        decode_batch("executions.finished", raw, WORKER)
    assert not isinstance(caught.value, ForeignEvents)


def test_the_text_of_an_escape_is_not_the_character() -> None:
    [event] = decode_batch("executions.finished", message(), WORKER)
    assert event.data == FINISHED
