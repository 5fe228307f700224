"""The orchestrator's timed loop: job deadlines. `orchestrator.recall` asks again for lost events."""

from typing import Final

from orchestrator.store.runs import RunStore
from orchestrator.unit_of_work import UnitOfWork
from orchestrator.unreadable import Unreadable
from shared.clock import now
from shared.service import Counts, Loop

LONGEST_SLEEP: Final = 60.0
UNREADABLE_SLEEP: Final = 1.0
"""The shortest sleep while there is a job that cannot be loaded: it is due, and stays so."""
DUE_LIMIT: Final = 200


class Deadlines(Loop):
    """Stops jobs at their `timeout`, and their clean-up at its own. Sleeps until the next; a new deadline wakes it."""

    def __init__(self, work: UnitOfWork, store: RunStore, unreadable: Unreadable) -> None:
        super().__init__("deadlines", interval=LONGEST_SLEEP)
        self._work = work
        self._store = store
        self._unreadable = unreadable

    async def run_once(self) -> Counts:
        """Time out the jobs that are due, a limited number. Returns counts."""
        moment = now()
        due = await self._store.due(moment, DUE_LIMIT)

        async def stop(job_ids: list[str]) -> list[str]:
            return list(await self._work.change(job_ids, lambda run: run.due(moment), moment))

        stopped = await self._unreadable.leave_out(due, stop)
        following = await self._store.next_deadline()
        left = LONGEST_SLEEP if following is None else (following - now()).total_seconds()
        self.interval = min(max(left, UNREADABLE_SLEEP if self._unreadable.any else 0.01), LONGEST_SLEEP)
        return {"timed_out": len(stopped)}
