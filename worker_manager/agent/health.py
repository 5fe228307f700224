"""Whether commands can start on this worker: found out by looking, and by what fails for the worker's own fault.

A worker on which no folder can be made, nothing written or no process started would fail every command that it is sent.
While there is such a reason it takes nothing and says why; it tries again, less and less often, until all of it works.
What fails for a command's own fault (no such program) is not told to this module.
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
"""Seconds until a worker that is unhealthy tries again."""
_STEADY: Final = 60.0
"""Seconds that a worker must have been healthy for the pauses to begin anew."""

Check = Callable[[], None]


class Health:
    """The worker's health; a service. `reason` says why nothing can start, None while all is well.

    `looks` are tried every `interval` seconds, `trials` too before an unhealthy worker is healthy again. Both run in a
    thread of their own, and whatever they raise is a reason. `changed` is called when the reason comes or goes,
    `tested` after each look that found nothing wrong, and `leave` when another agent has taken the worker's folder
    over.
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
        """Something failed that any command would have failed by."""
        if self.reason is None:
            if monotonic() - self._well_since >= _STEADY:
                self._failures = 0
            log.warning("worker.unhealthy", reason=reason)
        self._blamed.set()
        self._set(reason[:LONGEST_REASON])

    async def start(self) -> None:
        """Begin to look. Raises Unavailable."""
        self._hand.start()
        self._task = asyncio.create_task(self._look_forever(), name=self.name)

    async def stop(self) -> None:
        """Look no more."""
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
            except ConfigError as error:  # it is not our folder any more
                self.blame(str(error))
                self.leave()
                return
            except Exception as error:  # noqa: BLE001  # what nobody has thought of is a reason, too, and may pass
                self.blame(said_of(error))
            else:
                self.tested()
                self._recover()

    async def _pause(self) -> None:
        """Wait until it is time for the next look; the first bad news shortens the wait."""
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
