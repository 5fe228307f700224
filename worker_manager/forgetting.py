"""Deleting workers that ended long ago: their rows, their folders, and the logs of their agents."""

from collections.abc import Mapping
from typing import Final

from schemas.events import WorkerForgotten
from shared.outbox import Outbox
from shared.service import Counts, Loop
from shared.worker_settings import time_to_live
from worker_manager.counters import Counters
from worker_manager.providers.base import Provider
from worker_manager.store.workers import WorkerStore

LOOK_EVERY: Final = 60.0
PAGE: Final = 200
"""Workers that are forgotten at a time."""


class Forgetting(Loop):
    """Forgets a stopped worker after an hour and a failed one after a week, or both after `ttl` seconds."""

    def __init__(
        self,
        store: WorkerStore,
        outbox: Outbox,
        providers: Mapping[str, Provider],
        counters: Counters,
        *,
        ttl: float | None,
    ) -> None:
        super().__init__("forgetting", interval=LOOK_EVERY if ttl is None else min(LOOK_EVERY, max(0.5, ttl / 4)))
        self._store = store
        self._outbox = outbox
        self._providers = providers
        self._counters = counters
        self._stopped = time_to_live(ttl, durable=False).total_seconds()
        self._failed = time_to_live(ttl, durable=True).total_seconds()

    async def run_once(self) -> Counts:
        """Forget a page of workers."""
        async with self._outbox.transaction() as tx:
            found = await self._store.forget(tx, stopped=self._stopped, failed=self._failed, limit=PAGE)
            tx.emit(
                *(WorkerForgotten(worker_id=one.id, name=one.name, detail=self._detail(one.failed)) for one in found)
            )
        for one in found:
            if one.ours and (provider := self._providers.get(one.provider)) is not None:
                await provider.erase(one.id)
        self._counters.worker_forgotten.inc(len(found))
        return {"forgotten": len(found)}

    def _detail(self, failed: bool) -> str:
        return f"ended more than {self._failed if failed else self._stopped:g} s ago"
