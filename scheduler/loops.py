"""The leader's loops. Each sleeps until its next moment is known to come, and is woken when an earlier one appears.

Here: timers and leases (`Timers`), workers that only REST knows (`Silence`), and the times of heartbeats
(`HeartbeatTimes`). Schedules have a loop of their own, in `scheduler.schedules`.
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
"""Seconds: what is due by a clock that stands still must not be asked for without a pause."""

Hold = Callable[[Transaction], Awaitable[None]]
"""Keeps the next leader off until a transaction ends; raises Unavailable when this term is over."""
LOOK_EVERY: Final = 60.0
"""Seconds between two looks for workers to forget, at the most."""


class Timers(Loop):
    """Delayed tasks, queue deadlines, leases: does what is due, then sleeps until the next of them."""

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
    """The leases of workers without an agent, kept in SQL. None ends before there was a whole one of hearing without
    an interruption.
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
        # No longer than a lease: that a worker was registered may not have been heard here.
        self.interval = max(SHORTEST, min(self._lease, _or(due, self._lease)))
        return {"offline": len(silent)}


class Forgetting(Loop):
    """Forgets workers that have been offline for long; `ttl` is in seconds, None for what suits each worker."""

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
    """Writes when workers were last heard, all together and at most once per second."""

    def __init__(self, leader: Leader) -> None:
        super().__init__("heartbeat times", interval=1.0)
        self._leader = leader
        self._written_until = 0.0

    async def run_once(self) -> Counts:
        count, self._written_until = await self._leader.note_heartbeats(self._written_until)
        return {"written": count}


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
