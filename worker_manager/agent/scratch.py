"""Scratch folders, in which an execution without a `working_dir` runs. Empty, private, removed afterwards.

Making, entering and removing a folder costs a fifth of starting a process. So an untouched folder is used again, and
only a folder with files left in it is removed, in a thread. Other files of the agent are not kept here.
"""

import asyncio
import fcntl
import os
import stat
import struct
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from shared.ids import new_id
from worker_manager.agent.hand import Hand

log = structlog.stdlib.get_logger(__name__)

_KEPT: Final = 256
_LONGEST_CLOSE: Final = 5.0
_TICK: Final = 2_500_000_000
"""Nanoseconds, more than the clock tick of any file system (two seconds on the oldest). A change made later than this
after a folder's last change gives the folder another change time."""
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602
"""FS_IOC_GETFLAGS and FS_IOC_SETFLAGS (ioctl_iflags(2))."""
_HELD_FAST: Final = 0x10 | 0x20
"""FS_IMMUTABLE_FL and FS_APPEND_FL."""


class Scratch:
    """The scratch folders below `root`, which belongs to this agent alone; its content is removed at the start."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._free: list[str] = []
        self._empty: dict[str, int] = {}
        """Folders that were found empty, with their change time (ctime) then: a folder with the same ctime is still
        empty. Unlike the modification time, no program can set it."""
        self._hand = Hand("scratch")

    def open(self) -> None:
        """Make an empty root, and start the thread that removes folders. Raises OSError, and Unavailable."""
        self._hand.start()
        make_private(self._root)
        clear(self._root)

    def take(self) -> str:
        """An empty folder for one execution. Raises OSError."""
        return self._free.pop() if self._free else self._make()

    def renew(self, folder: str) -> str:
        """A new folder, instead of one that has vanished or cannot be entered. Raises OSError."""
        log.warning("scratch.renewed", folder=folder)
        self.give_back(folder)
        for one in self._free:  # the cause may have affected all free folders
            self.discard(one)
        self._free.clear()
        return self.take()

    def test(self) -> None:
        """Make a folder and remove it, as a check. Raises OSError."""
        os.rmdir(self._make())

    def give_back(self, folder: str) -> None:
        """Take back the folder of an execution whose processes are all gone."""
        if len(self._free) < _KEPT and self._untouched(folder):
            self._free.append(folder)
        else:
            self.discard(folder)

    def discard(self, folder: str) -> None:
        """Remove a folder of any content, in the thread."""
        self._empty.pop(folder, None)
        self._hand.give(remove, Path(folder))

    async def close(self, *, remove: bool = True) -> None:
        """End the thread and, with `remove`, delete all folders, within a few seconds. The next start removes the
        rest."""
        if remove:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LONGEST_CLOSE):
                    await self._hand.run(self._remove_root)
        self._hand.close()

    def _make(self) -> str:
        try:
            return tempfile.mkdtemp(dir=self._root)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            make_private(self._root)
            return tempfile.mkdtemp(dir=self._root)

    def _remove_root(self) -> None:
        try:
            clear(self._root)
            self._root.rmdir()
        except OSError as error:
            log.info("scratch.not_removed", folder=str(self._root), error=str(error))

    def _untouched(self, folder: str) -> bool:
        try:
            status = os.lstat(folder)
            if self._empty.get(folder) == status.st_ctime_ns:
                return True
            if not stat.S_ISDIR(status.st_mode) or stat.S_IMODE(status.st_mode) != 0o700 or os.listdir(folder):
                return False
        except OSError:  # the execution removed the folder, or its permissions forbid to read it
            return False
        if time.time_ns() - status.st_ctime_ns > _TICK:
            self._empty[folder] = status.st_ctime_ns
        return True


def make_private(folder: Path) -> None:
    """Make a folder that only this user may enter, or restore its permissions. Raises OSError."""
    if not folder.is_dir() or folder.is_symlink():
        folder.unlink(missing_ok=True)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


def clear(folder: Path) -> None:
    """Remove whatever is in a folder. Raises OSError."""
    for name in os.listdir(folder):
        remove(folder / name)


def remove(path: Path) -> None:
    """Remove a folder with its whole content, despite permissions, marks and depth. What stays is logged.

    Folders in it are first moved beside it, so that neither their depth nor the length of a path matters. Files of
    another user and mount points stay; the next start tries again.
    """
    waiting, failures = [path], list[OSError]()
    while waiting:
        folder = waiting.pop()
        try:
            if _is_folder(folder):
                _open_up(folder)
                for name in os.listdir(folder):
                    try:
                        _take_out(folder / name, path.parent, waiting)
                    except OSError as error:
                        failures.append(error)
                folder.rmdir()
            else:
                _unlink(folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            failures.append(error)
    if failures:
        log.warning("scratch.not_removed", folder=str(path), error=str(failures[0]))


def _take_out(entry: Path, beside: Path, waiting: list[Path]) -> None:
    if not _is_folder(entry):
        _unlink(entry)
        return
    _open_up(entry)
    aside = beside / f".removed-{new_id()}"
    entry.rename(aside)
    waiting.append(aside)


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(os.lstat(path).st_mode)


def _unlink(file: Path) -> None:
    try:
        file.unlink()
    except PermissionError:
        _release(file)
        file.unlink()


def _open_up(folder: Path) -> None:
    """Give the agent permission to read and change a folder, if the agent's user owns it."""
    try:
        folder.chmod(0o700)
    except PermissionError:
        _release(folder)
        folder.chmod(0o700)


def _release(path: Path) -> None:
    """Clear the marks that keep even root from changing a file."""
    with suppress(OSError):  # no permission, or a file system without such marks
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            (flags,) = struct.unpack("l", fcntl.ioctl(fd, _GET_FLAGS, bytes(struct.calcsize("l"))))
            fcntl.ioctl(fd, _SET_FLAGS, struct.pack("l", flags & ~_HELD_FAST))
        finally:
            os.close(fd)
