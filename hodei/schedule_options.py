"""Options of `hodei schedules`, and the fields of a schedule that they give."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import typer

from hodei import usage
from hodei.completing import job_ids, pipeline_ids, schedule_ids
from hodei.options import concurrency_of
from schemas.concurrency import WhenFull
from schemas.states import ScheduleStatus

Which = Annotated[
    str,
    typer.Argument(
        metavar="SCHEDULE", autocompletion=schedule_ids, help="Its name, its id, or the last 8 characters of its id."
    ),
]
OfStatus = Annotated[ScheduleStatus | None, typer.Option("--status", help="Only those with this status.")]
OfJob = Annotated[
    str | None,
    typer.Option(
        "--job", autocompletion=job_ids, help="Only those that repeat this job: its id or its last 8 characters."
    ),
]

Cron = Annotated[
    str | None,
    typer.Option(metavar="LINE", help="Fire by a crontab's line of five fields, '30 2 * * *', or @daily and the like."),
]
Timezone = Annotated[str | None, typer.Option(metavar="ZONE", help="The time zone of --cron; by default UTC.")]
Every = Annotated[
    float | None, typer.Option(parser=usage.seconds, metavar="TIME", help="Fire at equal intervals: 90s, 15m, 6h.")
]
At = Annotated[
    datetime | None,
    typer.Option(
        "--at",
        parser=usage.moment_to_come,
        metavar="TIME",
        help="Fire once: 2026-12-01T09:00:00Z, or 2h for in 2 hours.",
    ),
]
Start = Annotated[
    datetime | None,
    typer.Option(parser=usage.moment_to_come, metavar="TIME", help="No firing before this time; written as for --at."),
]
End = Annotated[
    datetime | None,
    typer.Option(parser=usage.moment_to_come, metavar="TIME", help="No firing after this time; written as for --at."),
]
Jitter = Annotated[
    float | None,
    typer.Option(parser=usage.seconds, metavar="TIME", help="Delay each firing by up to so long: 30s, 5m."),
]
Overlap = Annotated[
    str | None,
    typer.Option(help="What to do while the former job runs: allow (the default), skip, queue or cancel_previous."),
]
CatchUp = Annotated[
    str | None, typer.Option(help="Which firings an outage delays: none, last (the default) or all of them.")
]
CatchUpLimit = Annotated[int | None, typer.Option(help="The most firings of --catch-up all; by default 100.")]
OfName = Annotated[str | None, typer.Option("--name", help="The name of the schedule and of its jobs.")]
Priority = Annotated[str | None, typer.Option(help="The priority of its jobs: low, normal, high or critical.")]
Param = Annotated[list[str] | None, typer.Option("--param", "-p", help="A parameter of its jobs, KEY=VALUE.")]
Env = Annotated[
    list[str] | None,
    typer.Option("--env", "-e", help="A variable of its jobs, NAME=VALUE; NAME alone passes on its value from here."),
]
Label = Annotated[list[str] | None, typer.Option("--label", help="A label of its jobs, KEY=VALUE.")]
Requires = Annotated[list[str] | None, typer.Option(help="A label that the command's worker must have, KEY=VALUE.")]
Timeout = Annotated[float | None, typer.Option(help="Time limit of one attempt of the command, in seconds.")]
WorkingDir = Annotated[
    str | None, typer.Option(help="The command's working directory; by default a new, empty folder.")
]
Paused = Annotated[bool, typer.Option("--paused", help="Fire only when it is triggered, until it is resumed.")]
OfPipelineToRun = Annotated[
    str | None,
    typer.Option(
        "--pipeline",
        autocompletion=pipeline_ids,
        help="Run a pipeline: its name, its id, or the last 8 characters of its id.",
    ),
]
OfJobToRepeat = Annotated[
    str | None,
    typer.Option("--job", autocompletion=job_ids, help="Run an earlier job again: its id or its last 8 characters."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

OF_FIELDS: Final = {
    "command": "COMMAND",
    "run_at": "--at",
    "params": "--param",
    "labels": "--label",
    "job_id": "--job",
    "concurrency": "--concurrency-limit",
    "pipeline_id": "--pipeline",
    **{
        name: f"--{name.replace('_', '-')}"
        for name in (
            *("cron", "timezone", "every", "start", "end", "jitter", "overlap", "catch_up", "catch_up_limit", "name"),
            *("priority", "env", "requires", "timeout", "working_dir", "concurrency_key", "paused", "reset"),
        )
    },
}
"""The option of each field."""


def fields_of(
    *,
    command: Sequence[str] | None,
    param: Sequence[str] | None,
    env: Sequence[str] | None,
    label: Sequence[str] | None,
    requires: Sequence[str] | None,
    concurrency_limit: int | None,
    when_full: WhenFull | None,
    **others: object,
) -> dict[str, object]:
    """The fields of a schedule that options give. `others` have the names of their fields; None means not given.

    Raises typer.BadParameter for a text that is not KEY=VALUE.
    """
    fields = {
        **others,
        "command": command and (command[0] if len(command) == 1 else list(command)),
        "type": command and ("shell" if len(command) == 1 else "exec"),
        "params": param and usage.pairs("--param", param),
        "env": env and usage.environment("--env", env),
        "labels": label and usage.pairs("--label", label),
        "requires": requires and usage.pairs("--requires", requires),
        "concurrency": concurrency_of(concurrency_limit, when_full),
    }
    return {name: value for name, value in fields.items() if value is not None and value != []}
