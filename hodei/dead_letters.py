"""`hodei dead-letters`: events that a service's handlers could not take, listed, shown, published again and dropped.

Exit codes: 0 well, 1 the platform refused or there is no such letter, 2 wrong usage.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Final, TypeVar

import typer

from hodei.client import Client, ClientError
from hodei.client.errors import ApiError
from schemas.rest.dead_letters import DeadLetter

app = typer.Typer(
    name="dead-letters", help="Events that no handler could take: list, show, resend, delete.", no_args_is_help=True
)

T = TypeVar("T")

SERVICES: Final = ("orchestrator", "scheduler", "worker-manager")

Service = Annotated[str | None, typer.Option(help="orchestrator, scheduler or worker-manager; by default all three.")]
Consumer = Annotated[str | None, typer.Option(help="Only those of one consumer.")]
EventType = Annotated[str | None, typer.Option(help="Only events of one type, such as executions.finished.")]
Job = Annotated[str | None, typer.Option(help="Only events of one job.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON, one letter a line.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids of letters.")]


@app.command("list")
def list_(
    service: Service = None,
    consumer: Consumer = None,
    event_type: EventType = None,
    job: Job = None,
    json: Json = False,
) -> None:
    """List dead letters, the newest of each service first."""

    async def show(client: Client) -> int:
        count = 0
        async for name, letter in _all(client, service, consumer=consumer, event_type=event_type, job_id=job):
            count += 1
            if json:
                typer.echo(letter.model_dump_json())
            else:
                moment = f"{letter.stored_at:%Y-%m-%d %H:%M:%S}"
                typer.echo(f"{letter.id}  {moment}  {name}  {letter.event_type}  {letter.entity_id or '-'}")
                typer.echo(f"    {letter.error}")
        if not count and not json:
            typer.echo("no dead letters", err=True)
        return 0

    _run(show)


@app.command()
def show(id: Annotated[str, typer.Argument(help="The letter's id.")], json: Json = False) -> None:
    """Show a dead letter with its event."""

    async def ask(client: Client) -> int:
        letter = await _first(client.dead_letter, id)
        if json:
            typer.echo(letter.model_dump_json())
            return 0
        for name, value in letter.model_dump(mode="json", exclude={"event"}).items():
            typer.echo(f"{name + ':':<12} {'-' if value is None else value}")
        typer.echo(letter.model_dump_json(include={"event"}, indent=2))
        return 0

    _run(ask)


@app.command()
def resend(
    ids: Ids = None,
    all_: Annotated[bool, typer.Option("--all", help="Every letter that matches the options below.")] = False,
    service: Service = None,
    consumer: Consumer = None,
    event_type: EventType = None,
    job: Job = None,
    json: Json = False,
) -> None:
    """Publish the events of dead letters again, and take the letters out."""
    if bool(ids) == all_:
        typer.echo("hodei: give the ids of letters, or --all", err=True)
        raise typer.Exit(2)

    async def send(client: Client) -> int:
        failures = 0
        wanted: list[tuple[str | None, str]] = [(None, id) for id in ids or []]
        if all_:
            filters = {"consumer": consumer, "event_type": event_type, "job_id": job}
            wanted = [(name, letter.id) async for name, letter in _all(client, service, **filters) if letter.resendable]
        for name, id in wanted:
            try:
                if name is None:
                    letter = await _first(client.resend_dead_letter, id)
                else:
                    letter = await client.resend_dead_letter(name, id)
            except ApiError as error:
                failures += 1
                typer.echo(f"hodei: {id}: {error}", err=True)
            else:
                typer.echo(letter.model_dump_json() if json else f"{letter.id} resent")
        return 1 if failures else 0

    _run(send)


@app.command()
def delete(ids: Annotated[list[str], typer.Argument(help="Ids of letters.")]) -> None:
    """Drop dead letters: their events are given up for good."""

    async def drop(client: Client) -> int:
        for id in ids:
            await _first(client.delete_dead_letter, id)
            typer.echo(f"{id} deleted")
        return 0

    _run(drop)


async def _all(client: Client, service: str | None, **filters: str | None) -> AsyncIterator[tuple[str, DeadLetter]]:
    given = {name: value for name, value in filters.items() if value is not None}
    for name in SERVICES if service is None else (service,):
        async for letter in client.dead_letters(name, **given):
            yield name, letter


async def _first(ask: Callable[[str, str], Awaitable[T]], id: str) -> T:
    """The answer of the service whose letter it is. Raises ApiError, that of the last service, when none has it."""
    for name in SERVICES[:-1]:
        try:
            return await ask(name, id)
        except ApiError as error:
            if error.status != 404:
                raise
    return await ask(SERVICES[-1], id)


def _run(work: Callable[[Client], Awaitable[int]]) -> None:
    async def go() -> int:
        async with Client() as client:
            return await work(client)

    try:
        code = asyncio.run(go())
    except (ClientError, ValueError) as error:
        typer.echo(f"hodei: {error}", err=True)
        code = 1
    raise typer.Exit(code)
