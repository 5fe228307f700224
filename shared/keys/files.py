"""Files with secrets: written whole or not at all, readable by their owner only.

Here: folders of 0700 and files of 0600, each written beside its place and moved there. Not here: what they contain.
"""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from shared.errors import ConfigError

LARGEST: Final = 1 << 20
"""Bytes. A larger file is not a key."""


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner may open. One that exists keeps its mode. Raises ConfigError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {path}: {error.strerror}") from None
    return path


def write_private(path: Path, text: str, *, own: Callable[[Path], None] | None = None) -> None:
    """Write a file of 0600, in place of one that is there. A reader sees the old content or the new one. `own` may give
    the file to another owner, before it gets its name. Raises ConfigError."""
    beside = _beside(path)
    try:
        _write(beside, text)
        if own is not None:
            own(beside)
        os.replace(beside, path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)


def keep_private(path: Path, text: str) -> bool:
    """Write a file of 0600 unless there is one. Returns whether it was written. Of several processes that do this at
    the same time, one writes. One that is there needs no room on the disk. Raises ConfigError."""
    if path.exists():
        return False
    beside = _beside(path)
    try:
        _write(beside, text)
        with suppress(FileExistsError):
            os.link(beside, path)
            return True
        return False
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)


def read_text(path: Path) -> str:
    """The text of a key's file. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    if len(raw) > LARGEST:
        raise ConfigError(f"{path} is too large to be a key")
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not a key: it has characters other than ASCII") from None


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
