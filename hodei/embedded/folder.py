"""A server's data folder: creates and locks it, checks its free space, and reads the last lines of its log."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path
from typing import Final

from hodei.embedded.errors import EmbeddedError

ROOM: Final = 1 << 20
"""The least free space with which a server can start, in bytes."""


async def lock(folder: Path, what: str, *, patience: float) -> int:
    """Make the folder and lock it. Returns a descriptor; the lock is held while any process, the server included, has
    it open.

    Waits up to `patience` seconds, as a predecessor that was just killed may still be stopping. Raises EmbeddedError.
    """
    descriptor = _open_lock(folder, what)
    deadline = asyncio.get_running_loop().time() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if asyncio.get_running_loop().time() >= deadline:
                os.close(descriptor)
                raise EmbeddedError(f"the {what} data in {folder} are in use by another process") from None
            await asyncio.sleep(0.02)


def _open_lock(folder: Path, what: str) -> int:
    try:
        # The server's user has to search this folder, and needs no other permission.
        folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        return os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EmbeddedError(f"cannot use {folder} for the {what} data: {error.strerror}") from None


def has_room(folder: Path) -> bool:
    """Whether a file of ROOM bytes can be written. Writing one also checks quotas and inodes."""
    probe = folder / "room"
    try:
        probe.write_bytes(bytes(ROOM))
        return True
    except OSError:
        return False
    finally:
        probe.unlink(missing_ok=True)


def last_lines(log: Path, *, count: int = 5, since: int = 0) -> str:
    """The last lines of a log, from byte `since` on, for an error message. Empty when the log does not exist."""
    try:
        with log.open("rb") as file:
            file.seek(max(since, log.stat().st_size - 16384))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-count:])


def size_of(log: Path) -> int:
    """The size of a log in bytes; 0 when it does not exist yet."""
    return log.stat().st_size if log.exists() else 0
