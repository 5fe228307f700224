"""`hodei logs`: shows the output of a job, or a part of it, and follows it."""

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from hodei import completing, usage
from hodei.asking import with_client
from hodei.client import Client, ClientError
from hodei.closed_pipe import while_read
from hodei.escapes import escaped
from hodei.ids import whole_job_id
from hodei.last_lines import last_lines
from hodei.matching import matching
from hodei.views import Output, write_output
from schemas.rest.jobs import Execution, JobDetail, JobLogLine, Task
from schemas.rest.logs import MOST_LINES


def logs(
    job: Annotated[
        str, typer.Argument(autocompletion=completing.job_ids, help="The job's id, or its last 8 characters.")
    ],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the output until the job ends.")] = False,
    tail: Annotated[
        int | None, typer.Option(min=0, max=MOST_LINES, help="Only so many lines at the end; with -f, begin with them.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=usage.moment, metavar="TIME", help="Only from this time on: 2026-11-01T09:00:00Z, or 10m ago as 10m."
        ),
    ] = None,
    step: Annotated[str | None, typer.Option(parser=usage.given, metavar="STEP", help="Only this step.")] = None,
    attempt: Annotated[int | None, typer.Option(min=1, help="Only this attempt, counted from 1.")] = None,
    grep: Annotated[
        str | None, typer.Option(parser=usage.given, metavar="TEXT", help="Only lines that contain this text.")
    ] = None,
    stderr: Annotated[bool, typer.Option("--stderr", help="Only what was written to standard error.")] = False,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Begin each line with its time, in UTC.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Show a job's output, or a part of it."""
    if tail is not None and since is not None and follow:
        raise typer.BadParameter("with --follow, give --tail or --since, not both: each says where to begin")

    async def show(client: Client) -> int:
        job_id = await whole_job_id(client, job)
        found = await client.job(job_id)
        _check_step(found, step)
        # When several steps are followed, each line begins with the name of its step.
        several = step is None and len(found.tasks) > 1
        output = Output(named=follow and several, timestamps=timestamps, chosen=grep is not None)
        stream: Literal["stderr"] | None = "stderr" if stderr else None
        if follow:
            lines = client.follow_logs(job_id, tail=tail, since=since, step=step, attempt=attempt)
            lines = matching(lines, grep or "", stream)
        elif grep is None and since is None and stream is None:
            if tail is None:
                lines = client.log_lines(job_id, step=step, attempt=attempt)
            else:
                lines = _each((await client.logs(job_id, tail=tail, step=step, attempt=attempt)).logs)
        else:
            lines = _search(client, job_id, _executions(found, step, attempt), grep=grep, since=since, stream=stream)
            if tail is not None:
                lines = last_lines(lines, tail)
        expired = False
        try:
            async for line in lines:
                expired = expired or line.remark == "expired"
                if as_json:
                    # An id is for those who go on after a line.
                    aside = None if follow else {"id"}
                    await write_output(
                        "stdout", line.model_dump_json(exclude_none=True, exclude=aside).encode() + b"\n"
                    )
                else:
                    await output.show(line)
        except ClientError as error:
            if not follow:
                raise
            typer.echo(f"hodei: {escaped(str(error))}\nhodei: stopped following job {job_id}, which goes on", err=True)
            return 1
        await output.close()
        return int(expired)

    raise typer.Exit(with_client(lambda client: while_read(show(client))))


def _check_step(job: JobDetail, step: str | None) -> None:
    """Raises BadParameter if the job has no such step."""
    names = list(dict.fromkeys(task.name for task in job.tasks))
    if step is not None and step not in names:
        raise typer.BadParameter(f"the job has no step {step!r}: it has {', '.join(names)}", param_hint="'--step'")


async def _each(lines: Iterable[JobLogLine]) -> AsyncIterator[JobLogLine]:
    for line in lines:
        yield line


def _executions(job: JobDetail, step: str | None, attempt: int | None) -> list[tuple[Task, Execution]]:
    """The executions that have begun, in the order of their start."""
    begun = [
        (execution.started_at, execution.id, task, execution)
        for task in job.tasks
        for execution in task.executions
        if execution.started_at is not None and step in (None, task.name) and attempt in (None, execution.attempt)
    ]
    return [(task, execution) for _, _, task, execution in sorted(begun, key=lambda one: one[:2])]


async def _search(
    client: Client,
    job_id: str,
    executions: Iterable[tuple[Task, Execution]],
    *,
    grep: str | None,
    since: datetime | None,
    stream: Literal["stderr"] | None,
) -> AsyncIterator[JobLogLine]:
    """The lines that match, of one execution after the other, each after a remark if its beginning is not kept."""
    for task, execution in executions:
        following: int | None = 1
        while following is not None:
            part = await client.logs(
                job_id,
                execution_id=execution.id,
                from_line=following,
                since=since if following == 1 else None,  # the first part has found that time
                limit=MOST_LINES,
                q=grep,
                case=None if grep is None else "match",
                stream=stream,
            )
            if part.expired and following == 1 and since is None and (grep or stream):
                yield _not_searched(task, execution)
            for line in part.logs:
                yield line
            following = part.next_line


def _not_searched(task: Task, execution: Execution) -> JobLogLine:
    return JobLogLine(
        timestamp=execution.started_at or datetime.now(UTC),
        stream="system",
        message=f"the beginning of the output of {task.name} is no longer kept, and was not searched",
        remark="expired",
        task=task.name,
        matrix=task.matrix,
        index=task.index,
        attempt=execution.attempt,
        execution_id=execution.id,
    )
