"""`hodei workers join-token | join-tokens | revoke | revoke-join-token` and `hodei credentials …`: who may run workers,
and who may subscribe."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from hodei import usage
from hodei.asking import id_as_json, show_list, with_client
from hodei.client import Client, ClientError
from hodei.client.filters import CredentialsFilters, JoinTokenFilters
from hodei.escapes import escaped
from hodei.ids import LOOKED_AT, whole_id
from hodei.options import AsJson, CreatedBy, Limit, Name, check
from hodei.secret_files import state_of, styled, with_file, write_secret
from hodei.tables import Columns, id_cell, moment_cell, print_columns
from hodei.views import moment_or_nothing
from schemas.rest.enrolment import (
    MAX_USES,
    Credentials,
    CredentialsCreate,
    CredentialsQuery,
    JoinToken,
    JoinTokenCreate,
    JoinTokenQuery,
)

credentials = typer.Typer(help="Read-only credentials for NATS, for subscribers.", no_args_is_help=True)

Expires = Annotated[
    datetime | None,
    typer.Option(parser=usage.moment_ahead, metavar="TIME", help="When it expires: 12h, or 2027-01-01T00:00:00Z."),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        parser=usage.file,
        metavar="FILE",
        help="Write it to this new file, which only you can read, instead of printing it.",
    ),
]
State = Annotated[str | None, typer.Option(metavar="STATE", help="Only those in this state, such as active.")]


class Lost(ClientError):
    """It was created, but its text did not arrive."""


def join_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name, for lists.")] = "worker",
    type_: Annotated[
        str | None, typer.Option("--type", metavar="TEXT", help="The only type that its workers may have.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", help="A label that its workers may have, KEY=VALUE; by default all. May be repeated."),
    ] = None,
    uses: Annotated[int, typer.Option(min=1, max=MAX_USES, help="How many workers may enrol with it.")] = 1,
    expires: Expires = None,
    out: Out = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Create a join token for `hodei worker --join`, and print it. By default one worker may use it, within an hour."""
    fields: dict[str, object] = {"name": name, "type": type_, "max_uses": uses, "expires_at": expires}
    if label:
        fields["labels"] = usage.pairs("--label", label)
    options = {"name": "NAME", "type": "--type", "labels": "--label", "expires_at": "--expires"}
    wanted = usage.checked(options, lambda: JoinTokenCreate.model_validate(fields))

    async def ask(client: Client, descriptor: int | None) -> int:
        made = await client.create_join_token(wanted)
        if made.token is None:
            raise Lost(f"the answer with the new join token was lost: revoke {made.id}, and create another")
        typer.echo(
            escaped(f"{made.id} {made.name}: {_workers(made.max_uses)} until {moment_or_nothing(made.expires_at)}"),
            err=True,
        )
        _hand_over(made.token, made.model_dump_json(exclude={"token"} if out else None), descriptor, as_json=as_json)
        return 0

    raise typer.Exit(with_file(out, ask, option="--out"))


def list_join_tokens(
    name: Name = None,
    state: State = None,
    created_by: CreatedBy = None,
    limit: Limit = 1000,
    as_json: AsJson = False,
) -> None:
    """List join tokens, newest first, without their texts."""
    check(JoinTokenQuery, {"name": name, "state": state, "created_by": created_by})
    filters: JoinTokenFilters = {"name": name, "created_by": created_by, "limit": limit}
    if state is not None:
        filters["state"] = state  # type: ignore[typeddict-item]  # `check` has verified it

    async def find(client: Client) -> list[JoinToken]:
        return [one async for one in client.join_tokens(**filters)]

    show_list(find, _print_join_tokens, as_json=as_json)


def revoke_join_token(
    token: Annotated[str, typer.Argument(metavar="JOIN_TOKEN", help="Its id, or its last 8 characters.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Revoke a join token. Workers that enrolled with it stay."""

    async def ask(client: Client) -> int:
        tokens = ((one.id, one.name) async for one in client.join_tokens(limit=LOOKED_AT))
        id = await whole_id("join token", token, tokens)
        await client.revoke_join_token(id)
        print(id_as_json(id) if as_json else f"{id} revoked")
        return 0

    raise typer.Exit(with_client(ask))


def revoke(
    worker: Annotated[str, typer.Argument(metavar="WORKER", help="The worker's id, or its last 8 characters.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Revoke a worker's credentials, wherever it runs: NATS ends its connection and refuses it from then on."""

    async def ask(client: Client) -> int:
        workers = ((one.id, one.name) async for one in client.enrolments(limit=LOOKED_AT))
        gone = await client.revoke_worker(await whole_id("worker", worker, workers))
        print(gone.model_dump_json() if as_json else f"{gone.id} revoked")
        if gone.join_token_id is not None:
            join = await client.join_token(gone.join_token_id)
            if _state(join, used=join.uses >= join.max_uses) == "active":
                typer.echo(
                    escaped(f"hodei: it enrolled with the join token {join.id} ({join.name}), which is still valid"),
                    err=True,
                )
        return 0

    raise typer.Exit(with_client(ask))


@credentials.command()
def feed(
    subjects: Annotated[
        list[str] | None,
        typer.Option("--subjects", metavar="SUBJECT", help="A subject to hear; by default the feed. May be repeated."),
    ] = None,
    name: Annotated[str, typer.Option(help="A name, for lists.")] = "feed",
    expires: Expires = None,
    out: Out = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Create read-only credentials for the feed, or for some subjects, and print them: `nats --creds FILE sub …`."""
    fields = {"name": name, "subjects": subjects or None, "expires_at": expires}
    options = {"name": "--name", "subjects": "--subjects", "expires_at": "--expires"}
    wanted = usage.checked(options, lambda: CredentialsCreate.model_validate(fields))

    async def ask(client: Client, descriptor: int | None) -> int:
        made = await client.create_credentials(wanted)
        if made.credentials is None:
            raise Lost(f"the answer with the new credentials was lost: revoke {made.id}, and create others")
        typer.echo(escaped(f"{made.id} {made.name}: {', '.join(made.subjects)}"), err=True)
        shown = made.model_dump_json(exclude={"credentials"} if out else None)
        _hand_over(made.credentials.rstrip("\n"), shown, descriptor, as_json=as_json)
        return 0

    raise typer.Exit(with_file(out, ask, option="--out"))


@credentials.command("list")
def list_credentials(
    name: Name = None,
    state: State = None,
    created_by: CreatedBy = None,
    limit: Limit = 1000,
    as_json: AsJson = False,
) -> None:
    """List read-only credentials, newest first, without their texts."""
    check(CredentialsQuery, {"name": name, "state": state, "created_by": created_by})
    filters: CredentialsFilters = {"name": name, "created_by": created_by, "limit": limit}
    if state is not None:
        filters["state"] = state  # type: ignore[typeddict-item]  # `check` has verified it

    async def find(client: Client) -> list[Credentials]:
        return [one async for one in client.all_credentials(**filters)]

    show_list(find, _print_credentials, as_json=as_json)


@credentials.command("revoke")
def revoke_credentials(
    which: Annotated[str, typer.Argument(metavar="CREDENTIALS", help="Their id, or its last 8 characters.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Revoke read-only credentials, and end the connections of their subscribers."""

    async def ask(client: Client) -> int:
        known = ((one.id, one.name) async for one in client.all_credentials(limit=LOOKED_AT))
        id = await whole_id("reader", which, known)
        await client.revoke_credentials(id)
        print(id_as_json(id) if as_json else f"{id} revoked")
        return 0

    raise typer.Exit(with_client(ask))


def _hand_over(secret: str, shown: str, descriptor: int | None, *, as_json: bool) -> None:
    """Write the secret to the file, or print it."""
    if descriptor is not None:
        write_secret(descriptor, secret)
    if as_json:
        print(shown)
    elif descriptor is None:
        print(secret)


def _print_join_tokens(tokens: Sequence[JoinToken]) -> None:
    states = [_state(one, used=one.uses >= one.max_uses) for one in tokens]
    columns: Columns = {
        "ID": [id_cell(one.id) for one in tokens],
        "STATE": [styled(state) for state in states],
        "NAME": [one.name for one in tokens],
        "USED": [f"{one.uses}/{one.max_uses}" for one in tokens],
        "TYPE": [one.type or "any" for one in tokens],
        "EXPIRES": [moment_cell(one.expires_at) for one in tokens],
    }
    print_columns(columns, shorten="NAME", drop=("EXPIRES", "TYPE"))


def _print_credentials(all_credentials: Sequence[Credentials]) -> None:
    states = [_state(one, used=False) for one in all_credentials]
    columns: Columns = {
        "ID": [id_cell(one.id) for one in all_credentials],
        "STATE": [styled(state) for state in states],
        "NAME": [one.name for one in all_credentials],
        "SUBJECTS": [", ".join(one.subjects) for one in all_credentials],
        "EXPIRES": [moment_cell(one.expires_at) for one in all_credentials],
    }
    print_columns(columns, shorten="SUBJECTS", drop=("EXPIRES",))


def _state(one: JoinToken | Credentials, *, used: bool) -> str:
    state = state_of(one.expires_at, one.revoked_at)
    return "used" if used and state == "active" else state


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"
