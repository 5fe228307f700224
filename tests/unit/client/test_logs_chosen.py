"""`hodei logs --grep` ends each line that it shows, also one whose end is not part of what was found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from hodei.cli import app
from hodei.client import Client
from schemas.rest.jobs import Execution, JobDetail, JobLogLine, JobLogs, Task

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
JOB, FIRST, SECOND = "0192f0c1-2345-7abc-8def-012345678901", "first", "second"


def line(execution: str, number: int, message: str, stream: str = "stdout", **members: Any) -> JobLogLine:
    of = {"task": execution, "attempt": 1, "execution_id": execution, "line": number, "timestamp": NOON}
    return JobLogLine.model_validate({**of, "stream": stream, "message": message} | members)


Show = Callable[..., str]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Show:
    """Runs `hodei logs` with options and a job whose two steps have these entries, and returns its stdout."""

    def show(lines: list[JobLogLine], *options: str) -> str:
        async def job(_self: Client, _id: str) -> JobDetail:
            executions = [Execution.model_construct(id=id, attempt=1, started_at=NOON) for id in (FIRST, SECOND)]
            tasks = [Task.model_construct(name=one.id, executions=[one], matrix=None, index=None) for one in executions]
            return JobDetail.model_construct(id=JOB, tasks=tasks)

        async def logs(_self: Client, _id: str, *, execution_id: str, **_part: Any) -> JobLogs:
            shown = [one for one in lines if one.execution_id == execution_id]
            return JobLogs.model_construct(job_id=JOB, logs=shown, next_line=None, truncated=False, expired=False)

        async def follow_logs(_self: Client, _id: str, **_part: Any) -> AsyncIterator[JobLogLine]:
            for one in lines:
                yield one

        for method in (job, logs, follow_logs):
            monkeypatch.setattr(Client, method.__name__, method)
        result = CliRunner().invoke(app, ["logs", JOB, *options])
        assert result.exit_code == 0, result.output
        return result.stdout

    return show


def test_the_last_line_of_a_step_is_ended_before_that_of_another(show: Show) -> None:
    unfinished = [line(FIRST, 3, "no end", partial=True), line(SECOND, 1, "no end, either", partial=True)]
    assert show(unfinished, "--grep", "end") == "no end\nno end, either\n"


def test_a_line_that_is_cut_is_ended(show: Show) -> None:
    cut = line(FIRST, 1, "the rest of this line is not shown here", "system", remark="shortened")
    lines = [line(FIRST, 1, "long line", partial=True), cut, line(FIRST, 2, "next line")]
    assert show(lines, "--grep", "line") == "long line\nnext line\n"


def test_each_line_has_its_own_time(show: Show) -> None:
    lines = [line(FIRST, 3, "no end", partial=True), line(SECOND, 1, "end")]
    assert show(lines, "--grep", "end", "--timestamps").count("2026-11-29T12:00:00.000Z") == 2


def test_lines_of_steps_that_write_side_by_side_are_apart(show: Show) -> None:
    lines = [line(FIRST, 1, "found ", partial=True), line(SECOND, 1, "found, too"), line(FIRST, 1, "here")]
    assert show(lines, "-f", "--step", FIRST, "--grep", "found") == "found \nfound, too\nhere\n"


@pytest.mark.parametrize("options", ["--grep line", "--since 1d"])
def test_the_last_lines_are_counted_not_their_pieces(show: Show, options: str) -> None:
    pieces = [line(SECOND, 2, "line ", partial=True), line(SECOND, 2, "in ", partial=True), line(SECOND, 2, "pieces")]
    lines = [line(FIRST, 1, "line"), line(SECOND, 1, "another line"), *pieces]
    assert show(lines, "--tail", "1", *options.split()) == "line in pieces\n"
    assert show(lines, "--tail", "2", *options.split()) == "another line\nline in pieces\n"


def test_what_is_not_searched_is_shown_byte_for_byte(show: Show) -> None:
    unfinished = [line(FIRST, 3, "no end", partial=True), line(SECOND, 1, "end")]
    assert show(unfinished, "--since", "1d") == "no endend\n"
