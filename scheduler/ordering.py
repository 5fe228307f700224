"""Ordering the jobs of firings: what a firing that is due and one that was requested have in common."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from scheduler.store.firings import FiringStore, Ordered
from scheduler.traces import Traces
from shared.outbox import OutboxTransaction


class Ordering:
    """Orders jobs from the orchestrator, and keeps the history of schedules short."""

    def __init__(self, firings: FiringStore, traces: Traces) -> None:
        self._firings = firings
        self._traces = traces

    async def order(self, tx: OutboxTransaction, orders: Sequence[Ordered], moment: datetime) -> None:
        """Order the jobs of firings whose rows are written, the oldest first."""
        await self._firings.mark_fired(tx, [(one.schedule_id, one.id) for one in orders], moment)
        await self._firings.prune(tx, sorted({one.schedule_id for one in orders}))
        for one in orders:
            self._emit(tx, one)

    def _emit(self, tx: OutboxTransaction, one: Ordered) -> None:
        trace = one.traceparent
        tx.emit(one.event(), traceparent=trace and self._traces.firing(trace, one.id))
        if trace is not None:
            tx.on_commit(partial(self._traces.fired, trace, schedule_id=one.schedule_id, job_id=one.id, due=one.due_at))
