"""`hodei events`: what happens on the platform, as it happens."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from hodei import usage
from hodei.asking import with_client
from hodei.client import Client
from hodei.client.filters import EventFilters
from hodei.closed_pipe import while_read
from hodei.completing import worker_ids
from hodei.ids import whole_job_id, whole_worker_id
from hodei.options import AsJson, OfJob
from hodei.views import STATUS_STYLES
from schemas.model import on_one_line
from schemas.rest.events import EventQuery, FeedEvent


def events(
    types: Annotated[
        list[str] | None,
        typer.Option("--type", help="Only events of this type: jobs.failed, or 'jobs.*'. May be repeated."),
    ] = None,
    job: OfJob = None,
    worker: Annotated[
        str | None,
        typer.Option(autocompletion=worker_ids, help="Only those about this worker: its id or its last 8 characters."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=usage.moment,
            metavar="TIME",
            help="Begin with events since this time: 2026-11-01T09:00:00Z, or 12h for 12 hours ago; by default, now.",
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Go on until Ctrl-C, or end with the newest event.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Follow what happens on the platform: a line for each event, as it happens.

    Events are kept for 7 days.
    """
    filters: EventFilters = {"types": types, "since": since, "follow": follow}
    usage.checked({"types": "--type"}, lambda: EventQuery.model_validate({"types": types}))

    async def show(client: Client) -> int:
        if job is not None:
            filters["job_id"] = await whole_job_id(client, job)
        if worker is not None:
            filters["worker_id"] = await whole_worker_id(client, worker)
        console = Console()
        async for event in client.feed(on_gap=_tell_gap, **filters):
            if as_json:
                print(event.model_dump_json(exclude_none=True), flush=True)
            else:
                line = line_of(event, short=console.is_terminal)
                if console.is_terminal:
                    line.truncate(console.width, overflow="ellipsis")
                console.print(line, soft_wrap=True)
                console.file.flush()
        return 0

    raise typer.Exit(with_client(lambda client: while_read(show(client))))


def line_of(event: FeedEvent, *, short: bool) -> Text:
    """An event on one line: when, what, about which entity, and the words that say most; with `short`, short ids."""
    moment = event.time.astimezone()
    time = moment.strftime("%H:%M:%S" if short else "%Y-%m-%d %H:%M:%S")
    verb = event.kind.partition(".")[2]
    subject = event.subject[-8:] if short else event.subject
    words = "  ".join(filter(None, [on_one_line(subject), *_words(event.data, short=short)]))
    return Text(f"{time}  ") + Text(f"{event.kind:<21}", style=STATUS_STYLES.get(verb, "")) + Text(f"  {words}")


def _words(data: Mapping[str, object], *, short: bool) -> list[str]:
    """The fields that say most about an event to a person."""
    found = [str(data["name"])] if data.get("name") else []
    for field, words in (("reason", "{}"), ("exit_code", "exit code {}"), ("attempt", "attempt {}")):
        if data.get(field) not in (None, ""):
            found.append(words.format(data[field]))
    if data.get("worker_name"):
        found.append(f"on {data['worker_name']}")
    if data.get("detail"):
        found.append(str(data["detail"]))
    job_id = str(data.get("job_id") or "")
    if job_id and "task_id" in data:
        found.append(f"job {job_id[-8:] if short else job_id}")
    return [on_one_line(one) for one in found]


def _tell_gap() -> None:
    typer.echo("hodei: some earlier events are not kept any more", err=True)
