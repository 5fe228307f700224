"""Options that several lists share, and the check of their values."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final

import typer

from hodei import usage
from hodei.completing import job_ids, pipeline_ids
from schemas.concurrency import MAX_CONCURRENCY, WhenFull
from schemas.rest.lists import PageQuery
from schemas.specs import Priority
from schemas.states import Reason

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="The most entries to show.")]
Name = Annotated[str | None, typer.Option(help="Only those with exactly this name.")]
Beginning = Annotated[
    str | None, typer.Option("--name", help="Only those with this name or, with a * at the end, this beginning of it.")
]
Label = Annotated[
    list[str] | None, typer.Option("--label", help="Only those with this label, KEY=VALUE; may be repeated.")
]
StepLabel = Annotated[
    list[str] | None,
    typer.Option("--label", help="Only those whose step has this label, KEY=VALUE; may be repeated."),
]
OfJob = Annotated[
    str | None,
    typer.Option("--job", autocompletion=job_ids, help="Only those of this job: its id or its last 8 characters."),
]
OfPipeline = Annotated[
    str | None,
    typer.Option("--pipeline", metavar="ID", autocompletion=pipeline_ids, help="Only those of this pipeline."),
]
OfPriority = Annotated[Priority | None, typer.Option(help="Only those with this priority.")]
OfReason = Annotated[Reason | None, typer.Option(help="Only those with this reason.")]
CreatedBy = Annotated[
    str | None, typer.Option(metavar="TOKEN", help="Only those created with this token: its name or its id.")
]
CreatedAfter = Annotated[
    datetime | None,
    typer.Option(
        "--created-after",
        "--since",
        parser=usage.moment,
        metavar="TIME",
        help="Only those created at this time or later: 2026-11-01T09:00:00Z, or 12h for 12 hours ago.",
    ),
]
CreatedBefore = Annotated[
    datetime | None,
    typer.Option(
        parser=usage.moment, metavar="TIME", help="Only those created before this time; written as for --created-after."
    ),
]

OwnKey = Annotated[
    str | None,
    typer.Option("--concurrency-key", metavar="KEY", help="Jobs with the same key limit each other."),
]
OwnLimit = Annotated[
    int | None,
    typer.Option(
        "--concurrency-limit",
        min=1,
        max=MAX_CONCURRENCY,
        help="How many jobs with this key run at once; by default 1.",
    ),
]
OwnWhenFull = Annotated[
    WhenFull | None,
    typer.Option(
        "--when-full", help="If that many run: the job waits, replaces the oldest, is cancelled, or is refused."
    ),
]


def concurrency_of(limit: int | None, when_full: WhenFull | None) -> dict[str, object] | None:
    """The field `concurrency` of a job."""
    given = {"limit": limit, "when_full": when_full}
    return {name: value for name, value in given.items() if value is not None} or None


_OTHER_NAMES: Final = {
    "job_id": "--job",
    "task_id": "--task",
    "worker_id": "--worker",
    "pipeline_id": "--pipeline",
    "entity_id": "--entity",
}


def check(query: type[PageQuery], filters: Mapping[str, object]) -> None:
    """Raise typer.BadParameter, which names the option, for a value that the service would refuse."""
    given = {name: value for name, value in filters.items() if value is not None and name != "limit"}
    options = {name: _OTHER_NAMES.get(name, f"--{name.replace('_', '-')}") for name in given}
    usage.checked(options, lambda: query.model_validate(given))
