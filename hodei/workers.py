"""`hodei workers list | drain | resume`: the workers as the scheduler sees them. `hodei.enrolment` has the commands
about their credentials."""

from collections.abc import Sequence
from typing import Annotated, Final

import typer
from rich.text import Text

from hodei import enrolment
from hodei.asking import show_list, with_client
from hodei.client import Client
from hodei.client.filters import RegisteredWorkerFilters
from hodei.completing import worker_ids
from hodei.ids import whole_worker_id
from hodei.options import AsJson, Beginning, Label, Limit, check
from hodei.tables import Columns, id_cell, print_columns
from hodei.views import by_column
from schemas.rest.workers import RegisteredWorker, RegisteredWorkerQuery
from schemas.states import WorkerStatus

STYLES: Final = {
    WorkerStatus.ONLINE: "green",
    WorkerStatus.UNHEALTHY: "bold red",
    WorkerStatus.DRAINING: "yellow",
    WorkerStatus.OFFLINE: "dim",
}

app = typer.Typer(help="List workers, drain, resume and revoke them, and let new ones join.", no_args_is_help=True)

WorkerId = Annotated[
    str, typer.Argument(metavar="WORKER", autocompletion=worker_ids, help="The worker's id, or its last 8 characters.")
]


@app.command("list")
def list_workers(
    status: Annotated[WorkerStatus | None, typer.Option(help="Only those with this status.")] = None,
    name: Beginning = None,
    type_: Annotated[str | None, typer.Option("--type", help="Only those of this type.")] = None,
    label: Label = None,
    drained: Annotated[
        bool | None,
        typer.Option("--drained/--not-drained", help="Only those that were drained with `drain`, or the others."),
    ] = None,
    drained_by: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="Only those that this token drained: its name or its id.")
    ] = None,
    agent: Annotated[
        bool | None, typer.Option("--agent/--no-agent", help="Only those with an agent, or without one.")
    ] = None,
    reserved_for: Annotated[
        str | None, typer.Option(metavar="TASK", help="Only those that are reserved for this task, by its id.")
    ] = None,
    limit: Limit = 1000,
    as_json: AsJson = False,
) -> None:
    """List workers, newest first."""
    filters: RegisteredWorkerFilters = {
        "status": status,
        "name": name,
        "type": type_,
        "label": label,
        "drained": drained,
        "drained_by": drained_by,
        "has_agent": agent,
        "reserved_for": reserved_for,
        "limit": limit,
    }
    check(RegisteredWorkerQuery, filters)

    async def find(client: Client) -> list[RegisteredWorker]:
        return [one async for one in client.registered_workers(**filters)]

    show_list(find, print_workers, as_json=as_json)


@app.command()
def drain(worker: WorkerId, as_json: AsJson = False) -> None:
    """Place no new work on a worker, even after it restarts, until `hodei workers resume`."""

    async def ask(client: Client) -> int:
        _show(await client.drain_worker(await whole_worker_id(client, worker)), as_json=as_json)
        return 0

    raise typer.Exit(with_client(ask))


@app.command()
def resume(worker: WorkerId, as_json: AsJson = False) -> None:
    """Resume a drained worker."""

    async def ask(client: Client) -> int:
        _show(await client.resume_worker(await whole_worker_id(client, worker)), as_json=as_json)
        return 0

    raise typer.Exit(with_client(ask))


app.command("join-token")(enrolment.join_token)
app.command("join-tokens")(enrolment.list_join_tokens)
app.command("revoke-join-token")(enrolment.revoke_join_token)
app.command("revoke")(enrolment.revoke)


def print_workers(workers: Sequence[RegisteredWorker]) -> None:
    """Print workers, a line each."""
    columns: Columns = {
        "ID": [id_cell(one.id) for one in workers],
        "STATUS": [Text(_status(one), style=STYLES[one.status]) for one in workers],
        "NAME": [one.name for one in workers],
        "BUSY": [f"{one.busy}/{one.slots}" for one in workers],
        "TYPE": [one.type for one in workers],
        **{f"DRAINED {title}": cells for title, cells in by_column([one.drained_by for one in workers]).items()},
    }
    print_columns(columns, shorten="NAME", drop=("DRAINED BY", "TYPE", "BUSY"))


def _status(worker: RegisteredWorker) -> str:
    drained = worker.drained and worker.status is not WorkerStatus.DRAINING
    return f"{worker.status.value} (drained)" if drained else worker.status.value


def _show(worker: RegisteredWorker, *, as_json: bool) -> None:
    print(worker.model_dump_json() if as_json else f"{worker.id} {_status(worker)}")
