"""Forgetting what is only kept for a while. What that is, and for how long, says whoever wires the loop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from shared.service.loop import Counts, Loop

INTERVAL: Final = 10.0
PAGE: Final = 1000

Purge = Callable[[int], Awaitable[int]]
"""Forgets so many rows at most; returns how many it found to forget."""


class Housekeeping(Loop):
    """Forgets a page of each kind every few seconds, and at once again for as long as a page is full, so that it keeps
    up however fast there comes more.

        Housekeeping(idempotency_keys=partial(purge, database))
    """

    def __init__(self, **purges: Purge) -> None:
        super().__init__("housekeeping", interval=INTERVAL)
        self._purges = purges

    async def run_once(self) -> Counts:
        """Forget a page of each kind. Raises the first error when all have had their turn."""
        results = await asyncio.gather(*(purge(PAGE) for purge in self._purges.values()), return_exceptions=True)
        counts = {kind: count for kind, count in zip(self._purges, results, strict=True) if isinstance(count, int)}
        self.interval = 0.0 if any(count >= PAGE for count in counts.values()) else INTERVAL
        for error in results:
            if isinstance(error, BaseException):
                raise error
        return counts
