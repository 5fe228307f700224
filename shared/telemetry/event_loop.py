"""Measures the lag of the event loop: how long a ready callback waits, because other code blocks the loop.

A timer compares when it was due with when it ran. Two samples a second cost almost nothing, and still meet code that
blocks the loop for long or often. They do not show which code it was.
"""

import asyncio
from typing import Final

from shared.telemetry.metrics import Metrics

INTERVAL: Final = 0.5


class EventLoopLag:
    """A service that measures the event loop in which it was started."""

    name: Final = "event loop lag"

    def __init__(self, metrics: Metrics, *, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._seconds = metrics.batch_histogram(
            "event_loop_lag_seconds", "Delay of a timer of the event loop, in seconds; two samples a second."
        )
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    async def start(self) -> None:
        self._set()

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + self._interval
        self._timer = loop.call_at(self._due, self._came)

    def _came(self) -> None:
        self._seconds.observe(asyncio.get_running_loop().time() - self._due)
        self._set()
