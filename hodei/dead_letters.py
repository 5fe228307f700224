"""`hodei dead-letters`: list, show, resend and delete events that a service's handlers rejected.

Exit codes: 0 success, 1 the platform refused or the letter does not exist, 2 wrong usage.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from enum import StrEnum
from typing import Annotated, Final, TypeVar, Unpack

import typer

from hodei.asking import id_as_json, with_client
from hodei.client import Client
from hodei.client.errors import ApiError
from hodei.client.filters import DeadLetterFilters
from hodei.completing import job_ids
from hodei.escapes import escaped
from hodei.ids import whole_id, whole_job_id
from schemas.rest.dead_letters import DeadLetter

app = typer.Typer(
    name="dead-letters",
    help="Events that a service failed to handle: list, show, resend, delete.",
    no_args_is_help=True,
)

T = TypeVar("T")


class Owner(StrEnum):
    """The services; each has dead letters of its own."""

    ORCHESTRATOR = "orchestrator"
    SCHEDULER = "scheduler"
    WORKER_MANAGER = "worker-manager"


SERVICES: Final = tuple(Owner)

Service = Annotated[Owner | None, typer.Option(help="The service whose dead letters to use; by default all three.")]
Consumer = Annotated[str | None, typer.Option(help="Only those of this consumer.")]
EventType = Annotated[str | None, typer.Option(help="Only events of this type, such as executions.finished.")]
Job = Annotated[
    str | None, typer.Option(autocompletion=job_ids, help="Only events of this job: its id or its last 8 characters.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids of dead letters, or their last 8 characters.")]


@app.command("list")
def list_(
    service: Service = None,
    consumer: Consumer = None,
    event_type: EventType = None,
    job: Job = None,
    json: Json = False,
) -> None:
    """List dead letters, the newest of each service first."""

    async def show_all(client: Client) -> int:
        count = 0
        async for name, letter in _all(client, service, consumer=consumer, event_type=event_type, job_id=job):
            count += 1
            if json:
                typer.echo(letter.model_dump_json())
            else:
                moment = f"{letter.stored_at:%Y-%m-%d %H:%M:%S}"
                about = f"{letter.id}  {moment}  {name}  {letter.event_type}  {letter.entity_id or '-'}"
                typer.echo(escaped(f"{about}\n    {letter.error}"))
        if not count and not json:
            typer.echo("no dead letters", err=True)
        return 0

    raise typer.Exit(with_client(show_all))


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="The dead letter's id, or its last 8 characters.")], json: Json = False
) -> None:
    """Show a dead letter with its event."""

    async def ask(client: Client) -> int:
        letter = await _first(client.dead_letter, await _whole(client, id))
        if json:
            typer.echo(letter.model_dump_json())
            return 0
        for name, value in letter.model_dump(mode="json", exclude={"event"}).items():
            typer.echo(escaped(f"{name + ':':<12} {'-' if value is None else value}"))
        typer.echo(escaped(letter.model_dump_json(include={"event"}, indent=2)))
        return 0

    raise typer.Exit(with_client(ask))


@app.command()
def resend(
    ids: Ids = None,
    all_: Annotated[bool, typer.Option("--all", help="All dead letters that match the options below.")] = False,
    service: Service = None,
    consumer: Consumer = None,
    event_type: EventType = None,
    job: Job = None,
    json: Json = False,
) -> None:
    """Publish the events of dead letters again, and delete the letters."""
    if bool(ids) == all_:
        raise typer.BadParameter("give the ids of dead letters, or --all")

    async def send(client: Client) -> int:
        failures = 0
        wanted: list[tuple[str | None, str]] = [(None, await _whole(client, id)) for id in ids or []]
        if all_:
            matching = _all(client, service, consumer=consumer, event_type=event_type, job_id=job)
            wanted = [(name, letter.id) async for name, letter in matching if letter.resendable]
        for name, id in wanted:
            try:
                if name is None:
                    letter = await _first(client.resend_dead_letter, id)
                else:
                    letter = await client.resend_dead_letter(name, id)
            except ApiError as error:
                failures += 1
                typer.echo(f"hodei: {escaped(f'{id}: {error}')}", err=True)
            else:
                typer.echo(letter.model_dump_json() if json else f"{letter.id} resent")
        return 1 if failures else 0

    raise typer.Exit(with_client(send))


@app.command()
def delete(
    ids: Annotated[list[str], typer.Argument(help="Ids of dead letters, or their last 8 characters.")],
    json: Json = False,
) -> None:
    """Delete dead letters, with their events, for good."""

    async def drop(client: Client) -> int:
        for id in ids:
            whole = await _whole(client, id)
            await _first(client.delete_dead_letter, whole)
            typer.echo(id_as_json(whole) if json else f"{whole} deleted")
        return 0

    raise typer.Exit(with_client(drop))


async def _whole(client: Client, text: str) -> str:
    return await whole_id("dead letter", text, ((one.id, one.error) async for _, one in _all(client, None)))


async def _all(
    client: Client, service: Owner | None, **filters: Unpack[DeadLetterFilters]
) -> AsyncIterator[tuple[str, DeadLetter]]:
    job_id = filters.get("job_id")
    if job_id is not None:
        filters["job_id"] = await whole_job_id(client, job_id)
    for name in SERVICES if service is None else (service,):
        async for letter in client.dead_letters(name, **filters):
            yield name, letter


async def _first(ask: Callable[[str, str], Awaitable[T]], id: str) -> T:
    """The response of the service that has the letter. Raises the ApiError of the last service when none has it."""
    for name in SERVICES[:-1]:
        try:
            return await ask(name, id)
        except ApiError as error:
            if error.status != 404:
                raise
    return await ask(SERVICES[-1], id)
