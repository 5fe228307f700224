"""The leader's loops. Each sleeps until its next moment is known to come, and is woken when an earlier one appears.

Here: timers and leases (`Timers`), workers that only REST knows (`Silence`), the times of heartbeats
(`HeartbeatTimes`), and forgetting (`Purge`). Schedules have a loop of their own, in `scheduler.schedules`.
"""

from datetime import timedelta
from typing import Final

from scheduler.dispatcher import Dispatcher, moment
from scheduler.store import Store
from schemas.events import WorkerOffline
from shared import queries
from shared.clock import now
from shared.lifecycle import Counts, Loop
from shared.outbox import Outbox
from shared.web.idempotency import purge as purge_keys

NOTHING_DUE: Final = 600.0
MARKS_KEPT: Final = timedelta(hours=24)
"""How long it is known of an attempt that it has ended."""


class Timers(Loop):
    """Delayed tasks, queue deadlines, leases: does what is due, then sleeps until the next of them."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__("timers", interval=NOTHING_DUE)
        self._dispatcher = dispatcher

    async def run_once(self) -> Counts:
        async with self._dispatcher.turn() as turn:
            leases = turn.desk.leases_lost
            turn.desk.tick(turn.now)
            lost = turn.desk.leases_lost - leases
            self.interval = min(NOTHING_DUE, _or(turn.desk.due_in(moment()), NOTHING_DUE))
        return {"leases_lost": lost}


class Silence(Loop):
    """The leases of workers without an agent, kept in SQL."""

    def __init__(self, outbox: Outbox, *, lease: float) -> None:
        super().__init__("silence", interval=NOTHING_DUE)
        self._outbox = outbox
        self._lease = lease
        sql = queries.load("scheduler")
        self._expire, self._following = sql["expire_silent"], sql["next_silence"]

    async def run_once(self) -> Counts:
        async with self._outbox.transaction() as tx:
            silent = [row["id"] for row in await tx.fetch(self._expire, self._lease)]
            detail = f"no heartbeat for {self._lease:g} s"
            tx.emit(*(WorkerOffline(worker_id=id, detail=detail) for id in silent))
            due = await tx.fetch_value(self._following, self._lease)
        self.interval = max(0.01, min(NOTHING_DUE, _or(due, NOTHING_DUE)))
        return {"offline": len(silent)}


class HeartbeatTimes(Loop):
    """Writes when workers were last heard, all together and at most once per second."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__("heartbeat times", interval=1.0)
        self._dispatcher = dispatcher
        self._written_until = 0.0

    async def run_once(self) -> Counts:
        count, self._written_until = await self._dispatcher.note_heartbeats(self._written_until)
        return {"written": count}


class Purge(Loop):
    """Forgets what was over a day ago: the marks of tasks, and the answers to idempotency keys."""

    def __init__(self, store: Store, outbox: Outbox) -> None:
        super().__init__("purge", interval=NOTHING_DUE)
        self._store = store
        self._outbox = outbox

    async def run_once(self) -> Counts:
        tasks = await self._store.purge_done(now() - MARKS_KEPT)
        keys = await purge_keys(self._outbox.database)
        self.interval = 1.0 if tasks or keys else NOTHING_DUE
        return {"tasks": tasks, "keys": keys}


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
