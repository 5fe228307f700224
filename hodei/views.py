"""How jobs, steps and output look in a terminal."""

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.output import written
from schemas.rest.jobs import Job, JobDetail, JobLogLine, Task
from schemas.states import Reason

STATUS_STYLES: Final = {
    "succeeded": "green",
    "failed": "bold red",
    "lost": "bold red",
    "timed_out": "bold red",
    "running": "cyan",
    "cancelled": "yellow",
    "skipped": "dim",
}


def print_table(table: Table) -> None:
    """Print to the terminal, or plainly and unabridged into a pipe."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=240)
    console.print(table)


def jobs_table(jobs: Iterable[Job]) -> Table:
    """Jobs, a line each."""
    table = Table(box=None, pad_edge=False)
    for column in ("ID", "NAME", "STATUS", "PRIORITY", "CREATED", "DURATION"):
        table.add_column(column, no_wrap=True)
    for job in jobs:
        table.add_row(
            job.id,
            Text(job.name),
            status_text(job.status.value, job.reason),
            job.priority,
            job.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            duration(job.started_at, job.finished_at),
        )
    return table


def steps_table(job: JobDetail) -> Table:
    """A job's steps, a line each."""
    table = Table(box=None, pad_edge=False)
    for column in ("STEP", "STATUS", "ATTEMPTS", "EXIT", "DURATION"):
        table.add_column(column, no_wrap=True)
    for task in job.tasks:
        table.add_row(
            Text(task.name),
            status_text(task.status.value, task.reason),
            str(max(1, len(task.executions))) if task.executions else "",
            "" if task.exit_code is None else str(task.exit_code),
            duration(task.started_at, task.finished_at),
        )
    return table


def status_text(status: str, reason: Reason | None) -> Text:
    """A state in its colour, with the reason where one is known."""
    words = f"{status} ({reason.value})" if reason else status
    return Text(words, style=STATUS_STYLES.get(status, ""))


def duration(start: datetime | None, end: datetime | None) -> str:
    """How long it took, or takes: 0.12 s, 3 m 20 s."""
    if start is None:
        return ""
    seconds = ((end or datetime.now(UTC)) - start).total_seconds()
    if seconds < 60:
        return f"{max(0.0, seconds):.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} m" if hours else f"{minutes} m {rest} s"


class Output:
    """Shows what commands wrote, byte for byte, where they wrote it; the platform's remarks go to stderr.

    With `named`, for several steps at a time, each line stands behind the name of its step, and a line that is not over
    is broken off when another step goes on.
    """

    def __init__(self, *, named: bool = False) -> None:
        self._named = named
        self._open: tuple[str, str] | None = None

    def show(self, line: JobLogLine) -> None:
        """Print one line, or one piece of a line."""
        if line.stream == "system":
            self._print(line, f"hodei: {line.message}\n".encode(), own_line=True)
        else:
            self._print(line, written(line), own_line=False)

    def close(self) -> None:
        """End a line that is not over, where names stand before lines."""
        if self._named and self._open is not None:
            self._break_off()

    def _print(self, line: JobLogLine, data: bytes, *, own_line: bool) -> None:
        source = (line.execution_id, line.stream)
        if self._open is not None and self._open != source and (self._named or own_line):
            self._break_off()
        if self._named and self._open is None:
            data = f"{line.task} | ".encode() + data
        _write(line.stream, data)
        self._open = None if data.endswith(b"\n") else source

    def _break_off(self) -> None:
        assert self._open is not None
        # What goes into a pipe or a file stays as it was written, unless names stand in it anyway.
        if self._named or _file(self._open[1]).isatty():
            _write(self._open[1], b"\n")
        self._open = None


def _file(stream: str) -> TextIO:
    return sys.stdout if stream == "stdout" else sys.stderr


def _write(stream: str, data: bytes) -> None:
    file = _file(stream)
    file.flush()
    file.buffer.write(data)
    file.buffer.flush()


def failure_in_words(task: Task) -> str:
    """Why a step did not succeed."""
    reason = task.reason.value if task.reason else task.status.value
    detail = task.detail or next((e.detail for e in reversed(task.executions) if e.detail), None)
    code = f" {task.exit_code}" if task.reason is Reason.EXIT_CODE and task.exit_code is not None else ""
    return f"{task.name}: {reason}{code}" + (f": {detail}" if detail else "")
