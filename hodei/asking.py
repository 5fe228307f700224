"""Runs one CLI command against the platform: creates the client, prints errors on one line, sets exit codes, prints
lists."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, NoReturn, TypeVar

import typer
from pydantic import BaseModel

from hodei.client import Client, ClientError, WrongSetting
from hodei.escapes import escaped

WRONG_SETTING: Final = 2
"""The exit code for an invalid setting, as for wrong usage."""

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Chosen:
    """The options before the command, which say which platform it is for."""

    profile: str | None = None
    ca: str | None = None


CHOSEN: ContextVar[Chosen] = ContextVar("CHOSEN", default=Chosen())  # noqa: B039  # immutable


def with_client(
    work: Callable[[Client], Awaitable[int]], *, failed: int = 1, timeout: float = 30.0, attempts: int = 4
) -> int:
    """Run `work` with a client and return its exit code. When that fails, print one line on standard error, and return
    `failed` if the platform refuses or does not answer, 2 if the environment has a wrong setting. `timeout` and
    `attempts` are those of the client."""

    async def go() -> int:
        chosen = CHOSEN.get()
        async with Client(profile=chosen.profile, ca=chosen.ca, timeout=timeout, attempts=attempts) as client:
            return await work(client)

    return ended(lambda: asyncio.run(go()), failed=failed)


def ended(work: Callable[[], int], *, failed: int = 1) -> int:
    """Run `work` and return its exit code. When the platform fails it, print one line, as `with_client` does."""
    try:
        return work()
    except ClientError as error:
        typer.echo(f"hodei: {escaped(str(error))}", err=True)
        return WRONG_SETTING if isinstance(error, WrongSetting) else failed
    except KeyboardInterrupt:
        return 130


def id_as_json(id: str) -> str:
    """What a command prints about something that is gone, with --json."""
    return f'{{"id":"{id}"}}'


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
