"""One-off schedules: firing them when they are due, and recording what the orchestrator answers.

A schedule fires in the transaction that marks it fired, so it fires once however many processes try. What its job
is, only the orchestrator knows: its verdict comes as an event.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

from scheduler.counters import Counters
from scheduler.loops import Hold
from scheduler.traces import Traces
from schemas.events import JobTarget, ScheduleConfirmed, ScheduleFired, ScheduleRefused
from shared.bus import Bus, Subscription
from shared.clock import now
from shared.ids import new_id
from shared.outbox import Outbox, OutboxTransaction
from shared.postgres import Record, load_queries
from shared.service import Counts, Loop

FIRE_LIMIT: Final = 500
LONGEST_SLEEP: Final = 60.0


class Schedules:
    """The schedules' table, as far as it is changed outside of requests."""

    def __init__(self, outbox: Outbox, traces: Traces) -> None:
        self._outbox = outbox
        self._traces = traces
        sql = load_queries("scheduler")
        self._due, self._fired, self._next = sql["due_schedules"], sql["mark_fired"], sql["next_due"]
        self._refuse, self._confirm = sql["refuse_schedules"], sql["confirm_schedules"]

    async def fire(self, moment: datetime, hold: Hold) -> tuple[int, float | None]:
        """Fire what is due at `moment`, a bounded number; how many, and in how many seconds the next is due.

        Raises Unavailable when something is due and this is not the leader any more.
        """
        async with self._outbox.transaction() as tx:
            rows = await tx.fetch(self._due, moment, FIRE_LIMIT)
            jobs = [new_id() for _ in rows]
            if rows:
                await hold(tx)
                await tx.execute(self._fired, [row["id"] for row in rows], jobs, moment)
                for row, job_id in zip(rows, jobs, strict=True):
                    self._say_fired(tx, row, job_id)
            following = await tx.fetch_value(self._next)
        return len(rows), following

    def _say_fired(self, tx: OutboxTransaction, row: Record, job_id: str) -> None:
        trace, due = row["traceparent"], row["next_run_at"]
        tx.emit(
            ScheduleFired(
                schedule_id=row["id"],
                job_id=job_id,
                target=JobTarget.model_validate(row["target"]),
                due_at=due,
            ),
            traceparent=trace and self._traces.firing(trace, job_id),
        )
        if trace is not None:
            tx.on_commit(partial(self._traces.fired, trace, schedule_id=row["id"], job_id=job_id, due=due))

    async def confirm(self, confirmed: Sequence[ScheduleConfirmed]) -> None:
        """Note that the orchestrator has heard of these."""
        await self._outbox.database.execute(
            self._confirm, [one.schedule_id for one in confirmed], [one.job_id for one in confirmed]
        )

    async def refuse(self, refusals: Sequence[ScheduleRefused]) -> None:
        """Mark these as failed; one that is gone meanwhile stays gone."""
        await self._outbox.database.execute(
            self._refuse, [refusal.schedule_id for refusal in refusals], [refusal.detail for refusal in refusals]
        )


class Firing(Loop):
    """Fires schedules at their time; a loop of the leader, woken when a schedule is made anywhere."""

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
