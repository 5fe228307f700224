"""Prints jobs, steps and output in a terminal."""

import codecs
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

from hodei.escapes import escaped
from hodei.needs import needs_text
from hodei.standard_streams import PIECE, until_ready
from hodei.tables import MOMENT, Cell, Columns, id_cell, moment_cell, print_columns, shortened
from schemas.access import Actor
from schemas.endings import FIRST_OF_SIGNALS, signal_in_words
from schemas.matrix import title
from schemas.model import on_one_line
from schemas.output import written
from schemas.params import ParamSpec, Scalar, as_text
from schemas.rest.jobs import Job, JobDetail, JobLogLine, Task
from schemas.states import JobStatus, Reason, TaskStatus

STATUS_STYLES: Final = {
    "succeeded": "green",
    "failed": "bold red",
    "lost": "bold red",
    "timed_out": "bold red",
    "running": "cyan",
    "cancelled": "yellow",
    "skipped": "dim",
}


OWN: Final = {"timed_out": Reason.TIMEOUT}
"""Reasons that say the same as a status in other words."""

MOST_OUTPUTS: Final = 20
"""The most outputs of a step that are shown."""


JOB_COLUMNS: Final[Mapping[str, Callable[[Job], str | Text | Cell]]] = {
    "ID": lambda job: id_cell(job.id),
    "STATUS": lambda job: status_text(job.status.value, job.reason),
    "NAME": lambda job: job.name,
    "PRIORITY": lambda job: job.priority,
    "CREATED": lambda job: moment_cell(job.created_at),
    "STARTED": lambda job: moment_cell(job.started_at),
    "FINISHED": lambda job: moment_cell(job.finished_at),
    "DURATION": lambda job: duration(job.started_at, job.finished_at),
    "BY": lambda job: "" if job.created_by is None else job.created_by.name,
    "LABELS": lambda job: labels_text(job.labels),
    "PIPELINE": lambda job: id_cell(job.pipeline_id),
    "KEY": lambda job: job.concurrency_key or "",
}
"""The columns of a list of jobs."""


def print_jobs(jobs: Sequence[Job], columns: Sequence[str] = ()) -> None:
    """Print jobs, a line each: these columns, or those that fit."""
    if columns:
        table = {title: [JOB_COLUMNS[title](job) for job in jobs] for title in columns}
        print_columns(table, shorten="NAME" if "NAME" in table else columns[-1], drop=())
        return
    usual = ["ID", "STATUS", "NAME", "PRIORITY", "CREATED", "DURATION"]
    usual += ["BY"] if any(job.created_by for job in jobs) else []
    table = {title: [JOB_COLUMNS[title](job) for job in jobs] for title in usual}
    print_columns(table, shorten="NAME", drop=("PRIORITY", "BY", "DURATION", "CREATED"))


def print_job(job: JobDetail, *, waits: str = "") -> None:
    """Print one job: its head, with what it `waits` for, the command of each step, and why a step did not succeed."""
    console = Console()
    head = {
        "job": Text(job.id),
        "name": Text(on_one_line(job.name)),
        "status": status_text(job.status.value, job.reason) + Text(on_one_line(_cancelled_by(job))),
        "rerun of": Text(job.rerun_of or ""),
        "key": Text(on_one_line(job.concurrency_key or "")),
        "waits": Text(on_one_line(waits)),
        "pipeline": Text(f"{job.pipeline_id} version {job.pipeline_version}" if job.pipeline_id else ""),
        "params": Text(on_one_line(params_text(job.params))),
        "labels": Text(on_one_line(labels_text(job.labels))),
        "created": Text(on_one_line(done_text(job.created_at, job.created_by))),
        "took": Text(duration(job.started_at, job.finished_at)),
    }
    for heading, text in head.items():
        if text:
            console.print(Text(f"{heading:<9}") + text, soft_wrap=True)
    console.print()
    print_steps(job)
    for tasks in _by_step(job.tasks):
        step = tasks[0]
        console.print(Text(escaped(f"\n{step.name} {_what(step)}")), soft_wrap=True)
        if step.condition is not None:
            console.print(Text(f"if       {on_one_line(step.condition)}"), soft_wrap=True)
        if needs := needs_text(step):
            console.print(Text(f"requires {on_one_line(needs)}"), soft_wrap=True)
        if step.labels:
            console.print(Text(f"labels   {on_one_line(labels_text(step.labels))}"), soft_wrap=True)
        for task in tasks:
            print_outputs(console, task.outputs, of="" if task.matrix is None else f"{task_title(task)}: ")
            # The status of a task that was cancelled says all; a decision is shown with what was asked.
            if missed(task) and task.decision is None and not cancelled_alone(task):
                console.print(Text(escaped(failure_in_words(task)), style="bold red"), soft_wrap=True)


def _cancelled_by(job: Job) -> str:
    """What follows the status of a job whose cancellation someone requested."""
    if job.cancelled_by is None:
        return ""
    did = "" if job.status is JobStatus.CANCELLED else ", cancellation requested"
    return f"{did} by {job.cancelled_by.name}"


def print_outputs(console: Console, outputs: Mapping[str, str], *, of: str = "") -> None:
    """Print outputs, a line each, with `of` before the name. In a terminal a line is cut to its width."""
    for name, value in list(outputs.items())[:MOST_OUTPUTS]:
        line = Text(on_one_line(f"output   {of}{name}={value}"))
        console.print(shortened(line, console.width) if console.is_terminal else line, soft_wrap=True)
    if len(outputs) > MOST_OUTPUTS:
        console.print(Text(f"and {len(outputs) - MOST_OUTPUTS} more outputs; --json shows all"), soft_wrap=True)


def _what(task: Task) -> str:
    """What a task does, in words."""
    if task.command is not None:
        return f"runs: {task.command if isinstance(task.command, str) else shlex.join(task.command)}"
    asked = f"asks: {task.approval.message}" if task.approval and task.approval.message else "asks for an approval"
    if task.decision is None:
        return f"{asked}\n{_how_to_approve(task)}" if _asks(task) else asked
    by = f" by {task.decision.who}" if task.decision.who else ""
    why = f": {task.decision.comment}" if task.decision.comment else ""
    return f"{asked}\n{'approved' if task.decision.approved else 'rejected'}{by}{why}"


def _how_to_approve(task: Task) -> str:
    """The inputs that an approval takes, a line each, and the command that gives it."""
    inputs = task.approval.inputs if task.approval else {}
    lines = [
        f"input    {declared_text(name, spec)}" + (f": {spec.description}" if spec.description else "")
        for name, spec in inputs.items()
    ]
    given = "".join(f" --input {name}=…" for name, spec in inputs.items() if spec.required)
    return "\n".join([*map(on_one_line, lines), f"waits for: hodei approve {task.id}{given}"])


def print_steps(job: JobDetail) -> None:
    """Print a job's steps, a line each, with the worker of the last attempt, or its id if its name is not known. The
    tasks of a matrix stand below a line of their step. In a rerun, the tasks of the earlier job are marked `kept`."""
    rows = [row for tasks in _by_step(job.tasks) for row in _step_rows(job, tasks)]
    titles = ("STEP", "STATUS", "ATTEMPTS", "EXIT", "DURATION", "WORKER")
    columns: Columns = {heading: [row[place] for row in rows] for place, heading in enumerate(titles)}
    print_columns(columns, shorten="STEP", drop=("ATTEMPTS", "EXIT", "DURATION", "WORKER"))


def _by_step(tasks: Sequence[Task]) -> list[list[Task]]:
    return [list(of_step) for _, of_step in groupby(tasks, key=lambda task: task.name)]


def _step_rows(job: JobDetail, tasks: Sequence[Task]) -> list[list[str | Text | Cell]]:
    """The lines of one step."""
    if tasks[0].matrix is None:
        return [_task_row(job, task, task.name) for task in tasks]
    counts = Counter(task.status.value for task in tasks)
    summary = ", ".join(f"{count} {status}" for status, count in counts.items())
    return [
        [tasks[0].name, summary, "", "", "", ""],
        *(_task_row(job, task, f"  {task_title(task)}") for task in tasks),
    ]


def _task_row(job: JobDetail, task: Task, name: str) -> list[str | Text | Cell]:
    last = task.executions[-1] if task.executions else None
    status = status_text(task.status.value, task.reason)
    if _asks(task):
        status.append(" (approval)")
    attempts = str(len(task.executions)) if task.executions else ""
    if task.finished_at is not None and task.finished_at < job.created_at:
        attempts = "kept"  # it ended in the job of which this one is a rerun
    return [
        name,
        status,
        attempts,
        "" if task.exit_code is None else str(task.exit_code),
        duration(task.started_at, task.finished_at),
        Cell("", "") if last is None else id_cell(last.worker_name or last.worker_id),
    ]


def _asks(task: Task) -> bool:
    """Whether it is an approval that waits for a decision."""
    return task.approval is not None and task.status is TaskStatus.RUNNING


def task_title(task: Task) -> str:
    """The name of a task, with the values of its matrix."""
    return title(task.name, task.matrix)


def moment_text(moment: datetime) -> str:
    """A time in the local time zone, to the second."""
    return moment.astimezone().strftime(MOMENT)


def done_text(moment: datetime, by: Actor | None) -> str:
    """When something was done, and by whom, if that is known."""
    return moment_text(moment) if by is None else f"{moment_text(moment)} by {by.name}"


def by_column(actors: Sequence[Actor | None]) -> Columns:
    """The column that says who did it; none, if that is known of no row."""
    return {"BY": ["" if one is None else one.name for one in actors]} if any(actors) else {}


def moment_or_nothing(moment: datetime | None) -> str:
    """A time as `moment_text` has it; empty for None."""
    return "" if moment is None else moment_text(moment)


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels on one line."""
    return ", ".join(f"{key}={value}" for key, value in labels.items())


def params_text(params: Mapping[str, Scalar]) -> str:
    """Parameters on one line."""
    return labels_text({name: as_text(value) for name, value in params.items()})


def declared_text(name: str, spec: ParamSpec) -> str:
    """A declared parameter or input in words."""
    kind = f"one of {', '.join(spec.choices)}" if spec.choices else spec.type
    default = "" if spec.default is None else f", by default {as_text(spec.default)}"
    return f"{name} ({kind}{', required' if spec.required else default})"


def status_text(status: str, reason: Reason | None) -> Text:
    """A state in its colour, with the reason if there is one that adds to it."""
    words = (
        f"{status} ({reason.value})" if reason and reason.value != status and reason is not OWN.get(status) else status
    )
    return Text(words, style=STATUS_STYLES.get(status, ""))


def duration(start: datetime | None, end: datetime | None) -> str:
    """The time from `start` to `end`, or until now: 0.12 s, 3 m 20 s."""
    if start is None:
        return ""
    seconds = ((end or datetime.now(UTC)) - start).total_seconds()
    if seconds < 60:
        return f"{max(0.0, seconds):.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} m" if hours else f"{minutes} m {rest} s"


class Output:
    """Shows the output of commands byte for byte, on the stream to which they wrote it; the platform's remarks go to
    stderr.

    With `named`, for several steps at a time, each line begins with the name of its step, and an unfinished line is
    ended when another step writes. With `timestamps`, it begins with the time at which it was written. With `chosen`,
    for the lines that match a search, an unfinished line is ended when anything else is shown.
    """

    def __init__(self, *, named: bool = False, timestamps: bool = False, chosen: bool = False) -> None:
        self._named = named
        self._timestamps = timestamps
        self._line_by_line = named or timestamps or chosen
        self._open: tuple[str, str] | None = None

    async def show(self, line: JobLogLine) -> None:
        """Print one line, or one piece of a line."""
        if line.stream == "system":
            await self._print(line, f"hodei: {on_one_line(line.message)}\n".encode(), own_line=True)
        else:
            await self._print(line, written(line), own_line=False)

    async def close(self) -> None:
        """End an unfinished line, unless the output is shown as it was written."""
        if self._line_by_line and self._open is not None:
            await self._break_off()

    async def _print(self, line: JobLogLine, data: bytes, *, own_line: bool) -> None:
        source = (line.execution_id, line.stream)
        if self._open is not None and self._open != source and (self._line_by_line or own_line):
            await self._break_off()
        if self._open is None:
            data = self._prefix(line).encode() + data
        await write_output(line.stream, data)
        self._open = None if data.endswith(b"\n") else source

    def _prefix(self, line: JobLogLine) -> str:
        """What stands before the first piece of a line."""
        time = f"{line.timestamp.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z " if self._timestamps else ""
        return time + (f"{on_one_line(title(line.task, line.matrix))} | " if self._named else "")

    async def _break_off(self) -> None:
        assert self._open is not None
        # Output in a pipe or a file stays as it was written, unless it has names or times, or is a choice of lines.
        if self._line_by_line or _file(self._open[1]).isatty():
            await write_output(self._open[1], b"\n")
        self._open = None


def is_utf8(encoding: str) -> bool:
    """Whether an encoding is UTF-8, under any of its names."""
    return codecs.lookup(encoding).name == "utf-8"


def _file(stream: str) -> TextIO:
    return sys.stdout if stream == "stdout" else sys.stderr


async def write_output(stream: str, data: bytes) -> None:
    """Write to the stream to which a command wrote, once there is room. Characters that an encoding other than UTF-8
    cannot express are replaced. Raises ClosedOutput."""
    file = _file(stream)
    file.flush()
    if not is_utf8(file.encoding):
        data = data.decode(errors="replace").encode(file.encoding, errors="replace")
    for start in range(0, len(data), PIECE):
        await until_ready(file)
        file.buffer.write(data[start : start + PIECE])
        file.buffer.flush()


def missed(task: Task) -> bool:
    """Whether a task has a failure of its own to explain: it did not succeed, and neither its `if` or `when` nor the
    failure of another task of its matrix says why."""
    return task.reason not in (None, Reason.CONDITION, Reason.NOT_NEEDED, Reason.FAIL_FAST)


def failure_in_words(task: Task) -> str:
    """Why a step did not succeed."""
    if task.reason is Reason.REJECTED and task.detail:
        return f"{task_title(task)}: {task.detail}"  # the detail begins with "rejected"
    reason = task.reason.value if task.reason else task.status.value
    current = (e.detail for e in reversed(task.executions) if e.detail and e.attempt == task.attempt and e.reason)
    detail = task.detail or (None if task.reason is Reason.CANCELLED else next(current, None))
    code = "" if task.exit_code is None else _code_in_words(task.reason, task.exit_code)
    limit = f" after {task.timeout:g} s" if task.reason is Reason.TIMEOUT and task.timeout and not detail else ""
    return f"{task_title(task)}: {reason}{code}{limit}" + (f": {detail}" if detail else "")


def cancelled_alone(task: Task) -> bool:
    """Whether a task was cancelled, and nothing more is known."""
    return task.reason is Reason.CANCELLED and not task.detail


def _code_in_words(reason: Reason | None, code: int) -> str:
    """The text that an exit code adds to a reason: ` 7`, or ` SIGKILL (9)` for a signal."""
    if reason is Reason.EXIT_CODE:
        return f" {code}"
    if reason is Reason.SIGNAL and code > FIRST_OF_SIGNALS:
        return f" {signal_in_words(code - FIRST_OF_SIGNALS)}"
    return ""
