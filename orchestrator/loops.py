"""The orchestrator's timed loop: job deadlines. `orchestrator.recall` asks again for lost events."""

from typing import Final

from orchestrator.store.runs import RunStore
from orchestrator.unit_of_work import UnitOfWork
from shared.clock import now
from shared.service import Counts, Loop

LONGEST_SLEEP: Final = 60.0
DUE_LIMIT: Final = 200


class Deadlines(Loop):
    """Stops jobs at their `timeout`, and their clean-up at its own. Sleeps until the next; a new deadline wakes it."""

    def __init__(self, work: UnitOfWork, store: RunStore) -> None:
        super().__init__("deadlines", interval=LONGEST_SLEEP)
        self._work = work
        self._store = store

    async def run_once(self) -> Counts:
        """Time out the jobs that are due, a limited number. Returns counts."""
        moment = now()
        due = await self._store.due(moment, DUE_LIMIT)
        if due:
            await self._work.change(due, lambda run: run.due(moment), moment)
        following = await self._store.next_deadline()
        left = LONGEST_SLEEP if following is None else (following - now()).total_seconds()
        self.interval = min(max(left, 0.01), LONGEST_SLEEP)
        return {"timed_out": len(due)}
