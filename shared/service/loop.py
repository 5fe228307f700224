"""A loop is a service that does one thing over and over: on its interval, or at once when woken.

What is done is `run_once`, which can also be called by itself and says how much it did. Errors are logged, counted
and backed off from; they never end the loop. Tests wait for `next_run()` instead of sleeping.
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
"""How much one run did, by kind: `{"published": 3}`."""

LONGEST_BACKOFF: Final = 30.0
"""Seconds between two runs of a loop that keeps failing."""
LONGEST_WHILE_AWAY: Final = 1.0
"""The same while something is away: nobody tells when it is back, and work may wait for this very loop."""

_AWAY: Final = (Unavailable, BusUnavailable)


class Loop(ABC):
    """Subclasses give `run_once`. `interval` is seconds between the end of one run and the next."""

    def __init__(self, name: str, *, interval: float) -> None:
        self.name = name
        self.interval = interval
        self.failures = 0
        """How many runs in a row have failed."""
        self.failures_total = 0
        self._longest = LONGEST_BACKOFF
        self._wake = asyncio.Event()
        self._next: asyncio.Future[Counts] | None = None
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def run_once(self) -> Counts:
        """Do one bounded piece of work and say how much it was."""

    def wake(self) -> None:
        """Run again now; during a run, run once more right after it."""
        self._wake.set()

    async def next_run(self) -> Counts:
        """Wait for the next run that begins or ends from now on; its counts, or the error it raised."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._next)

    async def start(self) -> None:
        """Begin looping; the first run comes at once."""
        self._wake.set()
        self._task = asyncio.create_task(self._loop(), name=self.name)

    async def stop(self) -> None:
        """End after cancelling the run under way: `run_once` keeps its work safe in transactions."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _loop(self) -> None:
        while True:
            await self._pause()
            try:
                counts = await self.run_once()
            except Exception as error:  # noqa: BLE001  # a loop outlives whatever one run comes across
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
            # A broken loop is not to be woken into a spin: it waits out its back-off whoever calls.
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
            waiting.exception()  # whoever waits gets it; nobody waiting any more is no fault
        else:
            waiting.set_result(outcome)
