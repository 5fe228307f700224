"""`hodei logs` holds only a bounded part of an output at a time, whatever its options are."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from weakref import WeakSet

import pytest
from typer.testing import CliRunner

from hodei.cli import app
from hodei.client import Client
from schemas.rest.jobs import Execution, JobDetail, JobLogLine, JobLogs, Task

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
JOB, EXECUTION = "0192f0c1-2345-7abc-8def-012345678901", "0192f0c1-2345-7abc-8def-0123456789aa"
PAGE, LINES = 20, 1000


class Long:
    """An output of LINES lines, a page of which has at most PAGE."""

    def __init__(self) -> None:
        self.alive: WeakSet[JobLogLine] = WeakSet()
        self.most_alive = 0
        self.since: list[tuple[int, bool]] = []
        """The first line of each page that was requested, and whether a time was."""

    async def job(self, _id: str) -> JobDetail:
        execution = Execution.model_construct(id=EXECUTION, attempt=1, started_at=NOON)
        task = Task.model_construct(name="main", executions=[execution], matrix=None, index=None)
        return JobDetail.model_construct(id=JOB, tasks=[task])

    async def logs(self, _id: str, *, from_line: int | None = None, tail: int | None = None, **part: Any) -> JobLogs:
        assert from_line or tail is not None, "the whole output is requested at once"
        self.since.append((from_line or 0, part.get("since") is not None))
        first = from_line or LINES + 1 - (tail or 0)
        after = min(first + PAGE, LINES + 1)
        shown = {"job_id": JOB, "truncated": False, "expired": False, "next_line": after if after <= LINES else None}
        return JobLogs.model_construct(**shown, logs=[self._line(number) for number in range(first, after)])

    async def log_lines(self, _id: str, **_executions: Any) -> AsyncIterator[JobLogLine]:
        for number in range(1, LINES + 1):
            yield self._line(number)

    def _line(self, number: int) -> JobLogLine:
        beside = {"task": "main", "attempt": 1, "execution_id": EXECUTION, "id": f"0:1:{number}"}
        line = JobLogLine(line=number, timestamp=NOON, stream="stdout", message=f"line {number}", **beside)
        self.alive.add(line)
        self.most_alive = max(self.most_alive, len(self.alive))
        return line


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> Long:
    long = Long()
    for name in ("job", "logs", "log_lines"):
        method = getattr(long, name)
        monkeypatch.setattr(Client, name, lambda _self, *args, method=method, **options: method(*args, **options))
    return long


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ("", 1),
        ("--tail 5", LINES - 4),
        ("--tail 5 --since 1d", LINES - 4),
        ("--tail 5 --stderr", LINES - 4),
        ("--tail 5 --grep line", LINES - 4),
        ("--since 1d", 1),
        ("--stderr", 1),
        ("--grep line", 1),
        ("--since 1d --stderr --grep line", 1),
    ],
)
def test_a_long_output_is_shown_as_it_is_received(long: Long, options: str, first: int) -> None:
    result = CliRunner().invoke(app, ["logs", JOB, *options.split()])
    assert result.exit_code == 0, result.output
    assert result.stdout == "".join(f"line {number}\n" for number in range(first, LINES + 1))
    assert long.most_alive <= 2 * PAGE + 10


def test_a_time_is_looked_for_once(long: Long) -> None:
    CliRunner().invoke(app, ["logs", JOB, "--since", "1d"])
    assert long.since[:3] == [(1, True), (1 + PAGE, False), (1 + 2 * PAGE, False)]


def test_lines_as_json_have_no_position(long: Long) -> None:
    result = CliRunner().invoke(app, ["logs", JOB, "--json"])
    assert "id" not in json.loads(result.stdout.splitlines()[0])


def test_a_stream_begins_at_one_place() -> None:
    result = CliRunner().invoke(app, ["logs", JOB, "-f", "--tail", "1", "--since", "1d"])
    assert (result.exit_code, "--tail or --since, not both" in " ".join(result.stderr.split())) == (2, True)
