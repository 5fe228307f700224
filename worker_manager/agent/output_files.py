"""The files that `$HODEI_OUTPUT` names: one for each execution, in a folder of the agent's own.

A file exists only once its process has written to it. Whatever a command puts in its place (a link, a pipe, a folder, a
file without end) is neither followed nor waited for. Each file is removed after its execution; those of an agent that
was killed are removed at its next start. The content is read by `outputs`.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from schemas.outputs import MAX_OUTPUTS, VARIABLE
from worker_manager.agent.outputs import NOTHING, Written, parse
from worker_manager.agent.process import MachineFailed
from worker_manager.agent.scratch import clear, make_private

log = structlog.stdlib.get_logger(__name__)

_READING: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PRIVATE: Final = stat.S_IFDIR | 0o700


class OutputFiles:
    """The files below `root`, which belongs to this agent alone. `discard` removes a folder in another thread."""

    def __init__(self, root: Path, discard: Callable[[str], None]) -> None:
        self._root = root
        self._place = str(root)
        self._discard = discard

    def open(self) -> None:
        """Make an empty root. Raises OSError."""
        make_private(self._root)
        clear(self._root)

    def close(self, *, remove: bool = True) -> None:
        """With `remove`, delete all files. The next start removes the rest."""
        if not remove:
            return
        try:
            clear(self._root)
            self._root.rmdir()
        except OSError as error:
            log.info("outputs.not_removed", folder=self._place, error=str(error))

    def path(self, execution_id: str) -> str:
        """The path of an execution's file, in a folder that takes one. Raises MachineFailed."""
        if not self._is_usable():
            self.test()
        return f"{self._place}/{execution_id}"

    def test(self) -> None:
        """Make the root again if a command removed or closed it. Raises MachineFailed."""
        try:
            make_private(self._root)
        except OSError as error:
            raise MachineFailed(f"no folder for outputs can be made: {error.strerror or error}") from error

    def collect(self, execution_id: str) -> Written:
        """Read and remove the file of an execution whose process has ended. Most executions have none."""
        path = f"{self._place}/{execution_id}"
        try:
            status = self._status(path)
        except FileNotFoundError:
            return NOTHING
        except OSError as error:
            return _unreadable(error)
        try:
            return _read(path, status)
        except OSError as error:
            return _unreadable(error)
        finally:
            self._remove(path, status)

    def _status(self, path: str) -> os.stat_result:
        """Raises OSError."""
        try:
            return os.lstat(path)
        except PermissionError:  # a command closed the folder
            make_private(self._root)
            return os.lstat(path)

    def _remove(self, path: str, status: os.stat_result) -> None:
        try:
            if stat.S_ISDIR(status.st_mode):
                self._discard(path)
            else:
                os.unlink(path)
        except FileNotFoundError:
            return
        except OSError:
            self._discard(path)  # a mark that keeps even its owner from removing it

    def _is_usable(self) -> bool:
        try:
            return os.lstat(self._place).st_mode == _PRIVATE
        except OSError:
            return False


def _read(path: str, found: os.stat_result) -> Written:
    """Raises OSError."""
    if not stat.S_ISREG(found.st_mode):  # not even opened: opening a device may do something
        return Written(fault=f"${VARIABLE} is not a regular file")
    fd = os.open(path, _READING)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):  # another process is still exchanging it
            return Written(fault=f"${VARIABLE} is not a regular file")
        if status.st_size > MAX_OUTPUTS:
            return _too_large(status.st_size)
        data = _content(fd)
    finally:
        os.close(fd)
    return parse(data) if len(data) <= MAX_OUTPUTS else _too_large(len(data))


def _content(fd: int) -> bytes:
    """The content of a file, and at most one byte more than it may have, if a process is still writing it."""
    data = b""
    while len(data) <= MAX_OUTPUTS and (more := os.read(fd, MAX_OUTPUTS + 1 - len(data))):
        data += more
    return data


def _too_large(size: int) -> Written:
    return Written(fault=f"${VARIABLE} has {size:,} bytes; the outputs of a step have at most {MAX_OUTPUTS:,}")


def _unreadable(error: OSError) -> Written:
    return Written(fault=f"${VARIABLE} cannot be read: {error.strerror or error}")
