"""Tables in a terminal: what a narrow one still shows, and that scripts get everything."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from hodei.audit import print_audit
from hodei.lists import print_queue
from hodei.tables import id_cell, moment_cell
from hodei.views import print_jobs
from schemas.access import Actor
from schemas.rest.audit import AuditEntry, AuditOutcome
from schemas.rest.jobs import Job
from schemas.rest.schedules import QueuedTask
from schemas.states import JobStatus, Reason

ID = "01a22592-5daa-71c2-9b8b-aa9e8bcf28c2"
ANA = Actor(id=ID, name="ana")
AT = datetime(2025, 11, 29, 12, 0, tzinfo=UTC)


def job(**changes: Any) -> Job:
    of: dict[str, Any] = {"id": ID, "name": "a nightly backup of the database", "status": JobStatus.FAILED}
    of |= {"reason": Reason.CONCURRENCY_LIMIT, "priority": "normal", "created_by": ANA, "created_at": AT}
    return Job.model_construct(**of | {"started_at": AT, "finished_at": AT} | changes)


def entry(**changes: Any) -> AuditEntry:
    of: dict[str, Any] = {"id": ID, "service": "orchestrator", "created_at": AT, "outcome": AuditOutcome.CHANGED}
    of |= {"by": ANA, "address": "10.1.2.3", "method": "POST", "route": "/api/v1/jobs/{id}/cancel", "count": 1}
    return AuditEntry.model_construct(**of | {"entity_ids": [ID], "request_id": "q"} | changes)


def task() -> QueuedTask:
    of: dict[str, Any] = {"task_id": ID, "job_id": ID, "name": "train-the-model-of-the-day", "matrix": None}
    of |= {"position": 1, "priority": "high", "attempt": 1, "queued_at": AT}
    return QueuedTask.model_construct(**of, requires={"gpu": "a100", "zone": "eu-central-1"})


class Screen:
    """What is printed, in a pipe or in a terminal so wide."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._set, self._read = monkeypatch, capsys

    def of(self, columns: int) -> None:
        self._set.setenv("COLUMNS", str(columns))
        self._set.setattr("rich.console.Console.is_terminal", True)

    def lines(self) -> list[str]:
        return re.sub(r"\x1b\[[0-9;]*m", "", self._read.readouterr().out).splitlines()


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Screen:
    return Screen(monkeypatch, capsys)


def test_jobs_in_80_columns_have_their_age_and_their_duration(screen: Screen) -> None:
    screen.of(80)
    print_jobs([job()])

    head, row, left_out = screen.lines()

    assert head.split() == ["ID", "STATUS", "NAME", "CREATED", "DURATION"]
    assert row.startswith("8bcf28c2  failed (concurrency_limit)  a nightly backup")
    assert row.endswith("2025-11-29  0.00 s")
    assert len(head) <= 80
    assert left_out == "no room for PRIORITY, BY"


def test_the_audit_log_in_80_columns_says_when_and_what(screen: Screen) -> None:
    screen.of(80)
    print_audit([entry(), entry(entity_ids=[ID, ID, ID]), entry(entity_ids=[], by=None)])

    head, one, several, _, left_out = screen.lines()

    assert head.split() == ["WHEN", "BY", "FROM", "OUTCOME", "CALL", "ENTITY"]
    assert one.split() == ["2025-11-29", "ana", "10.1.2.3", "changed", "POST", "/jobs/{id}/cancel", "8bcf28c2"]
    assert several.endswith("8bcf28c2 +2")
    assert left_out == "no room for SERVICE"


def test_the_queue_in_80_columns_says_since_when_and_for_what(screen: Screen) -> None:
    screen.of(80)
    print_queue([task()])

    head, row, left_out = screen.lines()

    assert head.split() == ["TASK", "POSITION", "NAME", "PRIORITY", "REQUIRES", "QUEUED"]
    assert row.endswith("high      gpu=a100, zone=eu-c…  2025-11-29")
    assert max(len(head), len(row)) <= 80
    assert left_out == "no room for ATTEMPT, JOB"


@pytest.mark.parametrize("show", [lambda: print_jobs([job()]), lambda: print_audit([entry()])])
def test_a_wide_terminal_and_a_pipe_have_whole_ids(screen: Screen, show: Any) -> None:
    show()
    piped = screen.lines()
    screen.of(200)
    show()
    wide = screen.lines()

    assert [line.rstrip() for line in wide] == [line.rstrip() for line in piped]
    assert ID in piped[1]
    assert " 2025-11-29 " in f" {piped[1]}"
    assert len(piped) == 2, "nothing was left out"


def test_an_empty_table_names_no_columns_that_have_no_room(screen: Screen) -> None:
    screen.of(20)
    print_jobs([])
    assert len(screen.lines()) == 1


def test_a_brief_cell_is_the_end_of_an_id_and_the_time_of_today() -> None:
    now = datetime.now(UTC)

    assert (id_cell(ID).brief, id_cell("worker-1-of-the-rack").brief, id_cell(None).whole) == (
        "8bcf28c2", "worker-1-of-the-rack", "",
    )  # fmt: skip
    assert moment_cell(now).brief == f"{now.astimezone():%H:%M:%S}"
    assert moment_cell(AT).brief == "2025-11-29"
    assert moment_cell(None).whole == ""
