"""`hodei events`: a line for each event, whatever its fields contain."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from hodei.cli import app
from hodei.events import line_of
from schemas.rest.events import EventQuery, FeedEvent
from schemas.subjects import FEED

ID = "01a22592-5daa-71c2-9b8b-aa9e8bcf28c2"
OTHER = "01a22592-5daa-71c2-9b8b-aa9e8bcf28c3"


def event(kind: str, **data: object) -> FeedEvent:
    return FeedEvent(
        position="1.1", id="1", source="/hodei/scheduler", type=f"hodei.{kind}.v1", subject=ID,
        time=datetime(2026, 11, 29, 8, 0, tzinfo=UTC), data=data,
    )  # fmt: skip


def test_a_line_has_the_type_the_entity_and_what_says_most() -> None:
    data = {"task_id": ID, "job_id": OTHER, "name": "test", "reason": "exit_code", "exit_code": 7, "attempt": 2}
    line = line_of(event("tasks.failed", **data), short=False).plain
    assert line.endswith(f"  tasks.failed           {ID}  test  exit_code  exit code 7  attempt 2  job {OTHER}")
    short = line_of(event("tasks.failed", **data), short=True).plain
    assert short.endswith("  tasks.failed           8bcf28c2  test  exit_code  exit code 7  attempt 2  job 8bcf28c3")


def test_what_a_name_contains_does_not_act_in_the_terminal() -> None:
    line = line_of(event("jobs.created", job_id=ID, name="a\x1b[31m\nb\u202e"), short=True).plain
    assert line.isprintable()


def test_types_are_patterns_and_an_unknown_one_is_refused_before_anything_is_asked() -> None:
    assert set(EventQuery(types=["jobs.*,tasks.failed"]).event_types()) == {
        *(one for one in FEED.event_types if one.startswith("jobs.")),
        "tasks.failed",
    }
    assert EventQuery().event_types() == list(FEED.event_types)
    with pytest.raises(ValidationError, match=r"did you mean jobs\.failed\?"):
        EventQuery(types=["jobs.faild"])
    result = CliRunner().invoke(app, ["events", "--type", "jobs.faild"])
    assert (result.exit_code, "--type" in result.output, "did you mean jobs.failed?" in result.output) == (
        2,
        True,
        True,
    )
