"""Runs one CLI command against the platform: creates the client, prints errors on one line, sets exit codes, prints
lists."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NoReturn, TypeVar

import typer
from pydantic import BaseModel

from hodei.client import Client, ClientError, WrongSetting
from hodei.escapes import escaped

WRONG_SETTING: Final = 2
"""The exit code for an invalid setting, as for wrong usage."""

M = TypeVar("M", bound=BaseModel)


def with_client(work: Callable[[Client], Awaitable[int]], *, failed: int = 1) -> int:
    """Run `work` with a client and return its exit code. When that fails, print one line on standard error, and return
    `failed` if the platform refuses or does not answer, 2 if the environment has a wrong setting."""

    async def go() -> int:
        async with Client() as client:
            return await work(client)

    try:
        return asyncio.run(go())
    except ClientError as error:
        typer.echo(f"hodei: {escaped(str(error))}", err=True)
        return WRONG_SETTING if isinstance(error, WrongSetting) else failed
    except KeyboardInterrupt:
        return 130


def show_list(
    find: Callable[[Client], Awaitable[Sequence[M]]], print_all: Callable[[Sequence[M]], None], *, as_json: bool
) -> NoReturn:
    """Print the items that `find` returns, as a table or as one JSON object a line, and exit."""

    found: Sequence[M] = ()

    async def ask(client: Client) -> int:
        nonlocal found
        found = await find(client)
        return 0

    if code := with_client(ask):
        raise typer.Exit(code)
    # Outside the event loop: its interrupt handler would not end a write to a pipe that is not read.
    if as_json:
        for one in found:
            print(one.model_dump_json(by_alias=True))
    else:
        print_all(found)
    raise typer.Exit(0)
