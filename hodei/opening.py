"""`hodei open`: the console's page of a job, a pipeline, a schedule or a worker, or one of its other pages."""

import json
import os
import sys
import webbrowser
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Final

import typer

from hodei.asking import with_client
from hodei.client import ApiError, Client
from hodei.ids import LOOKED_AT, SHORT, SHOWN_AT_MOST, NoSuchId
from schemas.ids import is_id
from schemas.rest.pipelines import Pipeline
from schemas.rest.schedules import Schedule
from schemas.rest.workers import RegisteredWorker

PAGES: Final = ("jobs", "run", "pipelines", "schedules", "queue", "workers", "settings")
"""The console's pages that need no id."""
Found = tuple[str, str, str]
"""The path of something's page, its id, and what it is, in words."""


def open_(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[PAGE|ID|NAME]",
            help="jobs, run, pipelines, schedules, queue, workers or settings; or a job, pipeline, schedule or worker: "
            "its id or its last 8 characters, or its name unless it is a job.",
        ),
    ] = "",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser, if there is one.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and open no browser.")] = False,
) -> None:
    """Print the address of a page of the console, and open it in a browser."""

    async def ask(client: Client) -> int:
        path = "" if not what else f"/{what}" if what in PAGES else await _path(client, what.strip())
        url = f"{await _console(client)}/console{path}" if path else f"{await _console(client)}/"
        print(json.dumps({"url": url}) if as_json else url, flush=True)
        if browser and not as_json and has_browser():
            webbrowser.open(url)
        return 0

    raise typer.Exit(with_client(ask))


def has_browser() -> bool:
    """Whether a person sits at a screen here, on which a browser could open a window."""
    screen = sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    return screen and sys.stdout.isatty()


async def _console(client: Client) -> str:
    """The address of the console, without a slash at its end."""
    orchestrators = [one.url for one in (await client.platform()).services if one.name == "orchestrator"]
    return str(next(filter(None, orchestrators), client.orchestrator.base_url)).rstrip("/")


async def _path(client: Client, text: str) -> str:
    """The path of the page of what has this id, end of an id, or name. Raises NoSuchId and ClientError."""
    if is_id(text):
        return await _of_id(client, text)
    short = text.lower() if SHORT.fullmatch(text.lower()) else None
    found = [one async for one in _candidates(client, text, short)]
    if not found:
        raise NoSuchId(f"there is no page, job, pipeline, schedule or worker {text!r}")
    if len(found) > 1:
        listed = "".join(f"\n  {id}  {words}" for _, id, words in found[:SHOWN_AT_MOST])
        raise NoSuchId(f"{text!r} may mean several; give one of these ids:{listed}")
    return found[0][0]


async def _of_id(client: Client, id: str) -> str:
    for kind, look in (
        ("jobs", client.job),
        ("pipelines", client.pipeline),
        ("schedules", client.scheduled),
        ("workers", client.registered_worker),
    ):
        try:
            await look(id)
        except ApiError as error:
            if error.status != 404:
                raise
        else:
            return f"/{kind}/{id}"
    raise NoSuchId(f"there is no job, pipeline, schedule or worker {id}")


async def _candidates(client: Client, text: str, short: str | None) -> AsyncIterator[Found]:
    """What has this name, or an id that ends with `short`."""
    if short is not None:
        async for job in client.jobs(short_id=short, limit=SHOWN_AT_MOST):
            yield f"/jobs/{job.id}", job.id, f"job {job.name}"
    lists: Mapping[str, AsyncIterator[Pipeline | Schedule | RegisteredWorker]] = {
        "pipelines": client.pipelines(limit=LOOKED_AT),
        "schedules": client.schedules(limit=LOOKED_AT),
        "workers": client.registered_workers(limit=LOOKED_AT),
    }
    for kind, items in lists.items():
        async for one in items:
            if one.name == text or (short is not None and one.id.endswith(short)):
                yield f"/{kind}/{one.id}", one.id, f"{kind.removesuffix('s')} {one.name}"
