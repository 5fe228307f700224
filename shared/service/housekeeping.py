"""Deletes rows that are kept for a limited time. Each service's app.py decides which rows, and for how long."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import Counter

from shared.service.loop import Counts, Loop
from shared.telemetry import Metrics

INTERVAL: Final = 10.0
PAGE: Final = 1000

Purge = Callable[[int], Awaitable[int]]
"""Deletes at most so many rows. Returns the number deleted."""


def rows_deleted(metrics: Metrics) -> Counter:
    """The counter of rows that were deleted because their time is over, by kind."""
    return metrics.counter(
        "retention_deleted_total", "Rows deleted because they are no longer kept, by kind.", ["kind"]
    )


class Housekeeping(Loop):
    """Deletes a page of each kind every INTERVAL seconds, and again at once while pages are full, so that it keeps up
    with any rate.

        Housekeeping(metrics, idempotency_keys=partial(purge, database))
    """

    def __init__(self, metrics: Metrics | None = None, **purges: Purge) -> None:
        super().__init__("housekeeping", interval=INTERVAL)
        self._purges = purges
        deleted = rows_deleted(metrics or Metrics())
        self._deleted = {kind: deleted.labels(kind) for kind in purges}

    async def run_once(self) -> Counts:
        """Delete a page of each kind. Raises the first error, after all kinds have been tried."""
        results = await asyncio.gather(*(purge(PAGE) for purge in self._purges.values()), return_exceptions=True)
        counts = {kind: count for kind, count in zip(self._purges, results, strict=True) if isinstance(count, int)}
        for kind, count in counts.items():
            self._deleted[kind].inc(count)
        self.interval = 0.0 if any(count >= PAGE for count in counts.values()) else INTERVAL
        for error in results:
            if isinstance(error, BaseException):
                raise error
        return counts
