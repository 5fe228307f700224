"""The leader's loops. Each sleeps until something is due, and is woken when something earlier is added.

Here: timers and leases (`Timers`), leases of workers without an agent (`Silence`), forgetting offline workers
(`Forgetting`), and the times of heartbeats (`HeartbeatTimes`). The loop of schedules is in `scheduler.schedules`.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import Counter

from scheduler.hearing import HeardTime
from scheduler.leader import Leader
from scheduler.store.workers import WorkerStore
from schemas.events import WorkerForgotten, WorkerOffline
from shared.outbox import Outbox
from shared.postgres import Transaction
from shared.service import Counts, Loop
from shared.worker_settings import time_to_live

NOTHING_DUE: Final = 600.0
SHORTEST: Final = 0.01
"""Shortest pause in seconds, as an entry may stay due while the heard time stands still."""

Hold = Callable[[Transaction], Awaitable[None]]
"""Prevents the next leader's takeover until a transaction ends; raises Unavailable when this term is over."""
LOOK_EVERY: Final = 60.0
"""Most seconds between two searches for workers to forget."""


class Timers(Loop):
    """Delayed tasks, queue deadlines, leases: applies those that are due, then sleeps until the next is."""

    def __init__(self, leader: Leader) -> None:
        super().__init__("timers", interval=NOTHING_DUE)
        self._leader = leader

    async def run_once(self) -> Counts:
        async with self._leader.turn() as turn:
            leases = turn.desk.totals.leases_lost
            turn.desk.tick(turn.now)
            lost = turn.desk.totals.leases_lost - leases
            due = turn.desk.due_in(self._leader.moment())
            self.interval = max(SHORTEST, min(NOTHING_DUE, _or(due, NOTHING_DUE)))
        return {"leases_lost": lost}


class Silence(Loop):
    """The leases of workers without an agent, which are kept in SQL. None ends before a whole lease of heard time has
    passed without an interruption.
    """

    def __init__(self, workers: WorkerStore, outbox: Outbox, heard: HeardTime, hold: Hold, *, lease: float) -> None:
        super().__init__("silence", interval=NOTHING_DUE)
        self._outbox = outbox
        self._heard = heard
        self._hold = hold
        self._lease = lease
        self._workers = workers

    async def run_once(self) -> Counts:
        if (missing := self._lease - self._heard.stretch()) > 0:
            self.interval = max(SHORTEST, missing)
            return {}
        async with self._outbox.transaction() as tx:
            await self._hold(tx)
            silent = await self._workers.expire_silent(tx, self._lease)
            detail = f"no heartbeat for {self._lease:g} s"
            tx.emit(*(WorkerOffline(worker_id=id, detail=detail) for id in silent))
            due = await self._workers.next_silence(tx, self._lease)
        # At most a lease, as this process may have missed the event of a new worker.
        self.interval = max(SHORTEST, min(self._lease, _or(due, self._lease)))
        return {"offline": len(silent)}


class Forgetting(Loop):
    """Forgets workers that have been offline for `ttl` seconds; None for the default of each worker's kind."""

    def __init__(
        self, leader: Leader, workers: WorkerStore, outbox: Outbox, *, ttl: float | None, forgotten: Counter
    ) -> None:
        super().__init__("forgetting", interval=LOOK_EVERY if ttl is None else min(LOOK_EVERY, max(0.5, ttl / 4)))
        self._leader = leader
        self._outbox = outbox
        self._ttl = ttl
        self._forgotten = forgotten
        self._workers = workers

    async def run_once(self) -> Counts:
        async with self._leader.turn() as turn:
            count = turn.desk.forget(turn.now, lambda worker: time_to_live(self._ttl, durable=worker.durable))
        ttl = time_to_live(self._ttl, durable=False).total_seconds()
        async with self._outbox.transaction() as tx:
            await self._leader.hold(tx)
            silent = await self._workers.forget_silent(tx, ttl)
            detail = f"offline for longer than {ttl:g} s"
            tx.emit(*(WorkerForgotten(worker_id=one.id, name=one.name, detail=detail) for one in silent))
        self._forgotten.inc(count + len(silent))
        return {"forgotten": count + len(silent)}


class HeartbeatTimes(Loop):
    """Writes the times of the workers' last heartbeats, all together and at most once per second."""

    def __init__(self, leader: Leader) -> None:
        super().__init__("heartbeat times", interval=1.0)
        self._leader = leader
        self._written_until = 0.0

    async def run_once(self) -> Counts:
        count, self._written_until = await self._leader.note_heartbeats(self._written_until)
        return {"written": count}


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
