"""Whether commands can start on this worker, learned from periodic checks and from failures that are the worker's
fault.

A worker that cannot make a folder, write a file or start a process would fail every command sent to it. While it has
such a reason, it takes no work, reports the reason, and tries again with growing pauses until all checks pass. Failures
that are a command's own fault (a missing program) are not reported to this module.
"""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

import structlog

from shared.errors import ConfigError
from worker_manager.agent.hand import Hand
from worker_manager.agent.process import said_of

log = structlog.stdlib.get_logger(__name__)

LONGEST_REASON: Final = 500
_BACKOFF: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between the tries of an unhealthy worker."""
_STEADY: Final = 60.0
"""Seconds that a worker must have been healthy before the pauses start again with the shortest."""

Check = Callable[[], None]


class Health:
    """The worker's health; a service. `reason` is why nothing can start, None while the worker is healthy.

    `looks` run every `interval` seconds; an unhealthy worker must pass `trials` as well before it counts as healthy.
    Both run in a thread of their own, and any exception they raise is a reason. `changed` is called when the reason
    changes, `tested` after each round that found no fault, and `leave` when another agent has taken over the worker's
    folder.
    """

    name = "health"

    def __init__(self, looks: Sequence[Check], trials: Sequence[Check], *, interval: float) -> None:
        self.reason: str | None = None
        self.changed: Callable[[], None] = lambda: None
        self.tested: Callable[[], None] = lambda: None
        self.leave: Callable[[], None] = lambda: None
        self._looks, self._trials = looks, trials
        self._interval = interval
        self._failures = 0
        self._well_since = monotonic()
        self._blamed = asyncio.Event()
        self._hand = Hand("health")
        self._task: asyncio.Task[None] | None = None

    def blame(self, reason: str) -> None:
        """Make the worker unhealthy: something failed that would have failed for any command."""
        if self.reason is None:
            if monotonic() - self._well_since >= _STEADY:
                self._failures = 0
            log.warning("worker.unhealthy", reason=reason)
        self._blamed.set()
        self._set(reason[:LONGEST_REASON])

    async def start(self) -> None:
        """Begin the checks. Raises Unavailable."""
        self._hand.start()
        self._task = asyncio.create_task(self._look_forever(), name=self.name)

    async def stop(self) -> None:
        """Stop the checks."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self._hand.close()

    async def _look_forever(self) -> None:
        while True:
            await self._pause()
            checks = self._looks if self.reason is None else [*self._looks, *self._trials]
            try:
                for check in checks:
                    await self._hand.run(check)
            except ConfigError as error:  # the folder belongs to another agent now
                self.blame(str(error))
                self.leave()
                return
            except Exception as error:  # noqa: BLE001  # an unforeseen error is a reason as well, and may pass
                self.blame(said_of(error))
            else:
                self.tested()
                self._recover()

    async def _pause(self) -> None:
        """Wait until the next round of checks is due. The first failure of a healthy worker shortens the wait."""
        if self.reason is None:
            try:
                async with asyncio.timeout(self._interval):
                    await self._blamed.wait()
            except TimeoutError:
                return
        self._blamed.clear()
        await asyncio.sleep(_BACKOFF[min(self._failures, len(_BACKOFF) - 1)])
        self._failures += 1

    def _recover(self) -> None:
        if self.reason is not None and not self._blamed.is_set():
            log.info("worker.healthy")
            self._well_since = monotonic()
            self._set(None)

    def _set(self, reason: str | None) -> None:
        if reason != self.reason:
            self.reason = reason
            self.changed()
