"""Options that several lists share, and the check of their values."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final

import typer

from hodei import usage
from schemas.rest.lists import PageQuery
from schemas.specs import Priority
from schemas.states import Reason

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="The most entries to show.")]
Name = Annotated[str | None, typer.Option(help="Only those with exactly this name.")]
Label = Annotated[
    list[str] | None, typer.Option("--label", help="Only those with this label, KEY=VALUE; may be repeated.")
]
StepLabel = Annotated[
    list[str] | None,
    typer.Option("--label", help="Only those whose step has this label, KEY=VALUE; may be repeated."),
]
OfJob = Annotated[str | None, typer.Option("--job", help="Only those of this job: its id or its last 8 characters.")]
OfPipeline = Annotated[str | None, typer.Option("--pipeline", metavar="ID", help="Only those of this pipeline.")]
OfPriority = Annotated[Priority | None, typer.Option(help="Only those with this priority.")]
OfReason = Annotated[Reason | None, typer.Option(help="Only those with this reason.")]
CreatedAfter = Annotated[
    datetime | None,
    typer.Option(
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

_OTHER_NAMES: Final = {"job_id": "--job", "task_id": "--task", "worker_id": "--worker", "pipeline_id": "--pipeline"}


def check(query: type[PageQuery], filters: Mapping[str, object]) -> None:
    """Raise typer.BadParameter, which names the option, for a value that the service would refuse."""
    given = {name: value for name, value in filters.items() if value is not None and name != "limit"}
    options = {name: _OTHER_NAMES.get(name, f"--{name.replace('_', '-')}") for name in given}
    usage.checked(options, lambda: query.model_validate(given))
