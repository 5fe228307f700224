"""What the orchestrator does by the clock: job deadlines. Waiting for news that was lost: `orchestrator.recall`."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from orchestrator.store.runs import RunStore
from orchestrator.watch import Watch
from shared.clock import now
from shared.outbox import Outbox
from shared.postgres import retry_deadlock
from shared.service import Counts, Loop

LONGEST_SLEEP: Final = 60.0
DUE_LIMIT: Final = 200


class Deadlines(Loop):
    """Ends jobs whose `timeout` is over. Sleeps until the next deadline; woken when a new one is made."""

    def __init__(self, outbox: Outbox, store: RunStore, watch: Watch) -> None:
        super().__init__("deadlines", interval=LONGEST_SLEEP)
        self._outbox = outbox
        self._store = store
        self._watch = watch

    async def run_once(self) -> Counts:
        """Time out what is due, a bounded number."""
        moment = now()
        due = await self._store.due(moment, DUE_LIMIT)
        if due:
            self._watch.tell(await retry_deadlock(lambda: self._time_out(due, moment)))
        following = await self._store.next_deadline()
        left = LONGEST_SLEEP if following is None else (following - now()).total_seconds()
        self.interval = min(max(left, 0.01), LONGEST_SLEEP)
        return {"timed_out": len(due)}

    async def _time_out(self, job_ids: Sequence[str], moment: datetime) -> Collection[str]:
        async with self._outbox.transaction() as tx:
            runs = await self._store.load(tx, job_ids)
            for run in runs.values():
                run.time_out(moment)
            await self._store.save(tx, runs.values(), moment)
        return runs
