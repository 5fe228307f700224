"""Scratch folders: where an execution without a `working_dir` of its own runs. Empty, private, gone afterwards.

Making, entering and removing a folder costs a fifth of what starting a process does, so an untouched folder goes
back to be used again and only one that something was left in is removed, in a thread. Nothing else is kept here.
"""

import asyncio
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import Final

import structlog

log = structlog.stdlib.get_logger(__name__)

_KEPT: Final = 256
_TICK: Final = 2_500_000_000
"""Nanoseconds, more than the clock of any file system takes to tick (two seconds on the oldest): whoever changes a
folder later than this after its last change gives it another change time."""


class Scratch:
    """The scratch folders below `root`, which belongs to this agent alone; what it holds at the start is removed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._free: list[str] = []
        self._empty: dict[str, int] = {}
        """Folders that were found empty, and their change time then: as long as they have it, they are. Nobody can
        set it, other than the modification time."""
        self._removals: set[asyncio.Future[None]] = set()

    def open(self) -> None:
        """Make the root, empty. Raises OSError."""
        shutil.rmtree(self._root, ignore_errors=True)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def take(self) -> str:
        """An empty folder for one execution. Raises OSError."""
        return self._free.pop() if self._free else tempfile.mkdtemp(dir=self._root)

    def give_back(self, folder: str) -> None:
        """The execution is over and nothing of it runs any more."""
        if len(self._free) < _KEPT and self._untouched(folder):
            self._free.append(folder)
            return
        self._empty.pop(folder, None)
        removal = asyncio.get_running_loop().run_in_executor(None, _remove, folder)
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)

    async def close(self) -> None:
        """Remove everything; at most a few seconds, what remains is removed at the next start."""
        if self._removals:
            await asyncio.wait(self._removals, timeout=2)
        await asyncio.to_thread(shutil.rmtree, self._root, ignore_errors=True)

    def _untouched(self, folder: str) -> bool:
        try:
            status = os.lstat(folder)
            if self._empty.get(folder) == status.st_ctime_ns:
                return True
            if not stat.S_ISDIR(status.st_mode) or stat.S_IMODE(status.st_mode) != 0o700 or os.listdir(folder):
                return False
        except OSError:  # the execution removed or closed it
            return False
        if time.time_ns() - status.st_ctime_ns > _TICK:
            self._empty[folder] = status.st_ctime_ns
        return True


def _remove(folder: str) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("scratch.not_removed", folder=folder, error=str(error))
