"""Running one command of the CLI against the platform: a client, its errors in one line, an exit code, lists."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn, TypeVar

import typer
from pydantic import BaseModel

from hodei.client import Client, ClientError

M = TypeVar("M", bound=BaseModel)


def with_client(work: Callable[[Client], Awaitable[int]], *, failed: int = 1) -> int:
    """Do something with a client and return its exit code; `failed`, with one line, where the platform refuses or is
    away."""

    async def go() -> int:
        async with Client() as client:
            return await work(client)

    try:
        return asyncio.run(go())
    except ClientError as error:
        typer.echo(f"hodei: {error}", err=True)
        return failed
    except KeyboardInterrupt:
        return 130


def show_list(
    find: Callable[[Client], Awaitable[Sequence[M]]], print_all: Callable[[Sequence[M]], None], *, as_json: bool
) -> NoReturn:
    """Print what was found, for people or as one JSON object a line, and leave."""

    async def show(client: Client) -> int:
        found = await find(client)
        if as_json:
            for one in found:
                print(one.model_dump_json())
        else:
            print_all(found)
        return 0

    raise typer.Exit(with_client(show))
