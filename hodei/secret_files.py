"""New files for secrets that a command creates: a token, a join token, credentials. And the state of such a thing."""

import os
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import typer
from rich.text import Text

from hodei.asking import with_client
from hodei.client import Client

Ask = Callable[[Client, int | None], Awaitable[int]]
"""Asks the platform; the number is the descriptor of the file for a secret."""

STYLES: Final = {"active": "green", "used": "dim", "expired": "yellow", "revoked": "dim"}


def with_file(path: Path | None, ask: Ask, *, option: str) -> int:
    """Run `ask` with a new file that only its owner can read, which is removed again if nothing was written. Returns
    the exit code. Raises BadParameter, which names the option, if the file cannot be made."""
    if path is None:
        return with_client(lambda client: ask(client, None))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint=f"'{option}'") from None
    code = with_client(lambda client: ask(client, descriptor))
    if os.fstat(descriptor).st_size == 0:
        path.unlink()
    os.close(descriptor)
    return code


def write_secret(descriptor: int, secret: str) -> None:
    """Write a secret as the one line of its file."""
    os.write(descriptor, f"{secret}\n".encode())


def state_of(expires_at: datetime | None, revoked_at: datetime | None) -> Literal["active", "expired", "revoked"]:
    """The state of something that may expire and be revoked."""
    if revoked_at is not None:
        return "revoked"
    if expires_at is not None and expires_at <= datetime.now(expires_at.tzinfo):
        return "expired"
    return "active"


def styled(state: str) -> Text:
    """A state in the colour of lists."""
    return Text(state, style=STYLES[state])
