"""A loop is a service that repeats one action: on its interval, or at once when woken.

The action is `run_once`, which can also be called by itself and returns counts. Errors are logged and counted, and the
loop backs off; they never end it. Tests wait for `next_run()` instead of sleeping.
"""

import asyncio
from abc import ABC, abstractmethod
from asyncio import sleep
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import structlog

from shared.errors import BusUnavailable, Unavailable

_log = structlog.get_logger(__name__)

Counts = Mapping[str, int]
"""The counts of one run by kind: `{"published": 3}`."""

LONGEST_BACKOFF: Final = 30.0
"""Longest pause in seconds between two runs of a loop that keeps failing."""
LONGEST_WHILE_AWAY: Final = 1.0
"""The same while a server is unavailable: its return is not signalled, and work may wait for this loop."""

_AWAY: Final = (Unavailable, BusUnavailable)


class Loop(ABC):
    """Subclasses define `run_once`. `interval` is the seconds between the end of one run and the next."""

    def __init__(self, name: str, *, interval: float) -> None:
        self.name = name
        self.interval = interval
        self.failures = 0
        """Number of consecutive failed runs."""
        self.failures_total = 0
        self._longest = LONGEST_BACKOFF
        self._wake = asyncio.Event()
        self._next: asyncio.Future[Counts] | None = None
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def run_once(self) -> Counts:
        """Do one bounded piece of work. Returns its counts."""

    def wake(self) -> None:
        """Run again now; during a run, run once more right after it."""
        self._wake.set()

    async def next_run(self) -> Counts:
        """Wait for the end of the current or next run. Returns its counts, or raises its error."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._next)

    async def start(self) -> None:
        """Start the loop; the first run begins at once."""
        self._wake.set()
        self._task = asyncio.create_task(self._loop(), name=self.name)

    async def stop(self) -> None:
        """Cancel the current run and end. This is safe, as `run_once` works in transactions."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _loop(self) -> None:
        while True:
            await self._pause()
            try:
                counts = await self.run_once()
            except Exception as error:  # noqa: BLE001  # a loop survives any error of a run
                self.failures += 1
                self.failures_total += 1
                self._longest = LONGEST_WHILE_AWAY if isinstance(error, _AWAY) else LONGEST_BACKOFF
                _log.warning(
                    "loop.failed", loop=self.name, failures=self.failures, error=str(error), exc_info=self.failures == 1
                )
                self._tell(error)
            else:
                self.failures = 0
                if any(counts.values()):
                    _log.debug("loop.ran", loop=self.name, counts=counts)
                self._tell(counts)

    async def _pause(self) -> None:
        if self.failures:
            # Wakes do not shorten the back-off, or a failing loop could spin.
            await sleep(min(0.1 * 2 ** min(self.failures, 10), self._longest))
        else:
            # Not wait_for: in Python 3.11 it swallows a cancellation that meets the wake, and stop() never ends.
            with suppress(TimeoutError):  # the interval is over
                async with asyncio.timeout(self.interval):
                    await self._wake.wait()
        self._wake.clear()

    def _tell(self, outcome: Counts | Exception) -> None:
        waiting, self._next = self._next, None
        if waiting is None or waiting.done():
            return
        if isinstance(outcome, Exception):
            waiting.set_exception(outcome)
            waiting.exception()  # marks it as retrieved, as there may be no waiter any more
        else:
            waiting.set_result(outcome)
