"""Adds up what transactions note about the numbers of jobs, and counts all jobs now and then."""

import asyncio
from typing import Final

from orchestrator.store.counts import AT_ONCE, CountStore
from shared.service import Counts, Loop

INTERVAL: Final = 5.0
RECOUNTED: Final = 3600.0
"""Seconds between two counts of all jobs. They make good what a replica of an earlier version, which notes nothing,
changed during an upgrade."""
TRIED_AGAIN: Final = 300.0
"""Seconds after which jobs are counted again if that failed, or another replica did it."""


class Counting(Loop):
    """Adds up changes every INTERVAL seconds; counts all jobs when the service starts, and once an hour."""

    def __init__(self, store: CountStore) -> None:
        super().__init__("counting", interval=INTERVAL)
        self._store = store
        self._recount_at = 0.0

    async def run_once(self) -> Counts:
        """Add up a limited number of changes, and count all jobs if it is time. Returns counts."""
        compacted = await self._store.compact()
        self.interval = 0.0 if compacted >= AT_ONCE else INTERVAL
        clock = asyncio.get_running_loop().time
        if clock() >= self._recount_at:
            self._recount_at = clock() + TRIED_AGAIN  # changes are added up even if jobs cannot be counted
            if await self._store.recount():
                self._recount_at = clock() + RECOUNTED
        return {"compacted": compacted}
