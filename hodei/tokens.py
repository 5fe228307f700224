"""`hodei tokens list | create | revoke`: the tokens with which people and programs call the platform."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from hodei import usage
from hodei.asking import id_as_json, show_list, with_client
from hodei.client import Client, ClientError
from hodei.client.filters import TokenFilters
from hodei.escapes import escaped
from hodei.ids import whole_token_id
from hodei.options import AsJson, Limit, Name, check
from hodei.secret_files import state_of, styled, with_file, write_secret
from hodei.tables import Columns, id_cell, moment_cell, print_columns
from hodei.views import moment_or_nothing
from schemas.access import Role
from schemas.rest.access import Token, TokenCreate, TokenQuery

app = typer.Typer(help="List, create and revoke tokens (docs/access.md).", no_args_is_help=True)


class TokenLost(ClientError):
    """The token was created, but its text did not arrive, or could not be written."""


@app.command("list")
def list_tokens(
    name: Name = None,
    role: Annotated[Role | None, typer.Option(help="Only those with this role.")] = None,
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help="Only those in this state: active, expired or revoked.")
    ] = None,
    limit: Limit = 1000,
    as_json: AsJson = False,
) -> None:
    """List tokens, newest first, without their texts."""
    check(TokenQuery, {"name": name, "role": role, "state": state})
    filters: TokenFilters = {"name": name, "role": role, "limit": limit}
    if state is not None:
        filters["state"] = state  # type: ignore[typeddict-item]  # `check` has verified it

    async def find(client: Client) -> list[Token]:
        return [one async for one in client.tokens(**filters)]

    show_list(find, _print, as_json=as_json)


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose token it is: a person, a program, a machine.")],
    role: Annotated[Role, typer.Option(help="What it may do; each role includes those before it.")],
    expires: Annotated[
        datetime | None,
        typer.Option(
            parser=usage.moment_ahead,
            metavar="TIME",
            help="When it expires: 90d, or 2027-01-01T00:00:00Z; by default never.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            parser=usage.file,
            metavar="FILE",
            help="Write it to this new file, which only you can read, instead of printing it.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Create a token and print it on standard output. It is shown this once."""
    wanted = usage.checked(
        {"name": "NAME", "expires_at": "--expires"}, lambda: TokenCreate(name=name, role=role, expires_at=expires)
    )

    async def ask(client: Client, descriptor: int | None) -> int:
        made = await client.create_token(wanted)
        if made.token is None:
            raise TokenLost(f"the answer with the new token was lost: revoke {made.id}, and create another")
        if descriptor is not None:
            write_secret(descriptor, made.token)
        if as_json:
            print(made.model_dump_json(exclude={"token"} if token_file else None))
            return 0
        until = f" until {moment_or_nothing(made.expires_at)}" if made.expires_at else ""
        typer.echo(escaped(f"{made.id} {made.name} ({made.role}){until}"), err=True)
        if token_file is None:
            print(made.token)
        return 0

    raise typer.Exit(with_file(token_file, ask, option="--token-file"))


@app.command()
def revoke(
    tokens: Annotated[
        list[str], typer.Argument(metavar="TOKEN...", help="Names of active tokens, ids, or their last 8 characters.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Revoke tokens: every service refuses them within about a second."""

    async def ask(client: Client) -> int:
        for text in tokens:
            id = await whole_token_id(client, text)
            await client.revoke_token(id)
            print(id_as_json(id) if as_json else f"{id} revoked")
        return 0

    raise typer.Exit(with_client(ask))


def _print(tokens: Sequence[Token]) -> None:
    columns: Columns = {
        "ID": [id_cell(one.id) for one in tokens],
        "STATE": [styled(state_of(one.expires_at, one.revoked_at)) for one in tokens],
        "ROLE": [one.role.value for one in tokens],
        "NAME": [one.name for one in tokens],
        "LAST USED": [moment_cell(one.last_used_at) for one in tokens],
        "EXPIRES": [moment_cell(one.expires_at) for one in tokens],
    }
    print_columns(columns, shorten="NAME", drop=("EXPIRES", "LAST USED"))
