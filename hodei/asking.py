"""Running one command of the CLI against the platform: a client, its errors in one line, an exit code."""

import asyncio
from collections.abc import Awaitable, Callable

import typer

from hodei.client import Client, ClientError


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
