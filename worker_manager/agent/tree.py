"""Ending a process tree: TERM, grace, KILL, until a scan of /proc finds no member any more.

Used for a cancel and a timeout, and when a process leaves others behind; never for an execution that ends by itself.
`shared.process.tree` finds the members.
"""

import asyncio
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import structlog

from shared.process.tree import EXECUTION_MARK, Member, Session, find, mark
from worker_manager.agent.hand import Hand

log = structlog.stdlib.get_logger(__name__)

_ROUNDS: Final = 50
_KILL_WAIT: Final = 1.0


class _Watch:
    """The members found so far, each held by a pidfd, so that a signal never reaches another process with the same
    pid."""

    def __init__(self, seen: set[int]) -> None:
        self._seen = seen
        self._loop = asyncio.get_running_loop()
        self._fds: dict[int, int] = {}
        self._gone = asyncio.Event()
        self._gone.set()

    def add(self, members: Iterable[Member]) -> list[int]:
        """Hold these members, too. Returns the pidfds of new ones."""
        new = []
        for member in members:
            if member.pid not in self._fds:
                with suppress(ProcessLookupError):
                    self._fds[member.pid] = fd = os.pidfd_open(member.pid)
                    self._seen.add(member.pid)
                    self._gone.clear()
                    self._loop.add_reader(fd, self._on_gone, member.pid)
                    new.append(fd)
        return new

    def signal(self, number: signal.Signals) -> None:
        for fd in self._fds.values():
            send(fd, number)

    async def gone(self, deadline: float) -> bool:
        """Wait until all members are gone, for `deadline` seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline):
                await self._gone.wait()
        return not self._fds

    def close(self) -> None:
        for pid in list(self._fds):
            self._on_gone(pid)

    def _on_gone(self, pid: int) -> None:
        fd = self._fds.pop(pid)
        self._loop.remove_reader(fd)
        os.close(fd)
        if not self._fds:
            self._gone.set()


def send(pidfd: int, number: signal.Signals) -> None:
    """Send a signal. A process that is gone, or another user's, is left alone."""
    with suppress(ProcessLookupError, PermissionError):
        signal.pidfd_send_signal(pidfd, number)


async def end_tree(
    execution_id: str, *, session: Session, grace: float, hand: Hand, seen: set[int] | None = None
) -> bool:
    """End every process of an execution. `grace` is in seconds; 0 kills at once. Returns whether none is left.

    `hand` scans /proc. The ids of the processes found are added to `seen`. Raises OSError when no descriptor is left
    for the scan or the signals.
    """
    marks = [mark(EXECUTION_MARK, execution_id)]
    watch = _Watch(set() if seen is None else seen)
    try:
        watch.add(await hand.run(find, marks, session=session))
        if grace > 0:
            watch.signal(signal.SIGTERM)
            await watch.gone(grace)
        for _ in range(_ROUNDS):
            # This scan finds new processes, and those whose parent was gone in the last scan.
            watch.add(await hand.run(find, marks, session=session))
            watch.signal(signal.SIGKILL)
            if await watch.gone(_KILL_WAIT) and not await hand.run(find, marks, session=session):
                return True
    finally:
        watch.close()
    log.error("execution.processes_left", execution_id=execution_id)
    return False
