"""Tasks whose order the bus does not take: they fail, with a reason, instead of waiting for ever.

What is submitted is weighed against the server's limit, so that this happens only when the limit is lowered later.
"""

from collections.abc import Sequence
from functools import partial

from orchestrator.store.runs import RunStore
from orchestrator.watch import Watch
from schemas.events import TaskQueued
from shared.clock import now
from shared.outbox import Outbox
from shared.postgres import retry_deadlock


class UndeliverableTasks:
    """Handler of undeliverable `tasks.queued`."""

    def __init__(self, outbox: Outbox, store: RunStore, watch: Watch) -> None:
        self._outbox = outbox
        self._store = store
        self._watch = watch

    async def __call__(self, orders: Sequence[TaskQueued]) -> None:
        await retry_deadlock(lambda: self._fail(orders))

    async def _fail(self, orders: Sequence[TaskQueued]) -> None:
        moment = now()
        async with self._outbox.transaction() as tx:
            runs = await self._store.load(tx, {order.job_id for order in orders})
            for order in orders:
                if order.job_id in runs:
                    runs[order.job_id].refuse(order.task_id, order.attempt, moment)
            tx.on_commit(partial(self._watch.tell_runs, runs.values()))
            await self._store.save(tx, runs.values(), moment)
