"""One-off schedules: firing them when they are due.

A schedule fires in the transaction that marks it as fired, so it fires once even if several processes try. Only the
orchestrator knows whether its job or pipeline exists; its verdict comes as an event.
"""

from datetime import datetime
from functools import partial
from typing import Final

from scheduler.counters import Counters
from scheduler.loops import Hold
from scheduler.store.schedules import DueSchedule, ScheduleStore
from scheduler.traces import Traces
from schemas.events import ScheduleFired
from shared.bus import Bus, Subscription
from shared.clock import now
from shared.ids import new_id
from shared.outbox import Outbox, OutboxTransaction
from shared.service import Counts, Loop

FIRE_LIMIT: Final = 500
LONGEST_SLEEP: Final = 60.0


class Schedules:
    """Fires the schedules that are due."""

    def __init__(self, store: ScheduleStore, outbox: Outbox, traces: Traces) -> None:
        self._store = store
        self._outbox = outbox
        self._traces = traces

    async def fire(self, moment: datetime, hold: Hold) -> tuple[int, float | None]:
        """Fire a bounded number of schedules that are due at `moment`. Returns the number fired, and the seconds until
        the next is due.

        Raises Unavailable when a schedule is due and this process does not lead any more.
        """
        async with self._outbox.transaction() as tx:
            due = await self._store.lock_due(tx, moment, FIRE_LIMIT)
            jobs = [new_id() for _ in due]
            if due:
                await hold(tx)
                await self._store.mark_fired(tx, due, jobs, moment)
                for one, job_id in zip(due, jobs, strict=True):
                    self._emit_fired(tx, one, job_id)
            following = await self._store.next_due(tx)
        return len(due), following

    def _emit_fired(self, tx: OutboxTransaction, one: DueSchedule, job_id: str) -> None:
        trace = one.traceparent
        tx.emit(
            ScheduleFired(schedule_id=one.id, job_id=job_id, target=one.target, due_at=one.due_at),
            traceparent=trace and self._traces.firing(trace, job_id),
        )
        if trace is not None:
            tx.on_commit(partial(self._traces.fired, trace, schedule_id=one.id, job_id=job_id, due=one.due_at))


class Firing(Loop):
    """Fires schedules when they are due; a loop of the leader, woken by the event of a new schedule."""

    def __init__(self, schedules: Schedules, bus: Bus, counters: Counters, hold: Hold) -> None:
        super().__init__("firing", interval=LONGEST_SLEEP)
        self._schedules = schedules
        self._hold = hold
        self._bus = bus
        self._counters = counters
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        self._subscription = await self._bus.subscribe(self._bus.catalogue.event("schedules.created"), self._created)
        await super().start()

    async def stop(self) -> None:
        if self._subscription is not None:
            await self._subscription.unsubscribe()
        await super().stop()

    async def run_once(self) -> Counts:
        count, following = await self._schedules.fire(now(), self._hold)
        self._counters.schedules_fired.inc(count)
        self.interval = max(0.001, min(LONGEST_SLEEP, LONGEST_SLEEP if following is None else following))
        return {"fired": count}

    async def _created(self, _subject: str, _payload: bytes, _reply: str) -> None:
        self.wake()
