"""The leader at work: it handles events, heartbeats and offers and places tasks, one turn at a time.

Here: the lock around the desk, and the rule that keeps memory and tables equal. A turn changes the desk and writes the
changes in one transaction. If anything fails in between, the desk is discarded, and the next turn begins with a new one
from the tables. How news changes the desk is in `domain.desk`; where it comes from is in `scheduler.consumers`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from scheduler.counters import Counters
from scheduler.domain.answers import Answer
from scheduler.domain.desk import Desk
from scheduler.domain.model import Moment, Task
from scheduler.store.turns import TurnStore
from scheduler.traces import Traces
from schemas.agents import Drain, Heartbeat, Offer, Resume, Seek, Stop
from schemas.events import WorkerDraining, WorkerResumed
from schemas.model import EventModel
from schemas.questions import Overdue
from schemas.states import Reason
from schemas.subjects import AgentVerb
from shared.bus import Bus
from shared.clock import now
from shared.errors import BusUnavailable, Unavailable
from shared.ids import new_id
from shared.postgres import Transaction

_log = structlog.get_logger(__name__)

MANY: Final = 20
"""Most ids in a log line."""


@dataclass(slots=True)
class Turn:
    """One turn of the leader: its desk, and the time at which it began."""

    desk: Desk
    now: Moment


class Leader:
    """A service of the leader: begins a new epoch at its start, and holds the desk until its end.

    `timed` is called when a turn has added a timed entry. `lease` and `patience` are in seconds of `heard`, the clock
    that runs while heartbeats can arrive.
    """

    name: Final = "dispatcher"

    def __init__(
        self,
        store: TurnStore,
        bus: Bus,
        counters: Counters,
        traces: Traces,
        *,
        lease: float,
        patience: float,
        heard: Callable[[], float] = time.monotonic,
        timed: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._bus = bus
        self._counters = counters
        self._traces = traces
        self._lease = lease
        self._patience = patience
        self._heard = heard
        self.timed = timed
        self.delay: Callable[[], float] = lambda: 0.0
        """Seconds that the last handled events had waited in the stream."""
        self.hold_back: Callable[[Heartbeat], None] | None = None
        """Keeps the heartbeat of a restarted worker until stored outcomes were handled, then calls `hear` again."""
        self._lock = asyncio.Lock()
        self._desk: Desk | None = None
        self._epoch = 0
        self._over = False

    async def start(self) -> None:
        """Take over. After this an earlier leader cannot write anything any more."""
        self._epoch = await self._store.begin_epoch()
        await self.idle_turn()
        _log.info("scheduler.leads", epoch=self._epoch)

    async def stop(self) -> None:
        """Wait for the current turn; no other follows."""
        self._over = True
        async with self._lock:
            self._desk = None
            self._counters.watch(None)

    def moment(self) -> Moment:
        """The current time by both clocks."""
        return Moment(now(), self._heard())

    async def hold(self, tx: Transaction) -> None:
        """Prevent the next leader's takeover until a transaction ends. Raises Unavailable when this term is over."""
        await self._store.hold(tx, self._epoch)

    async def idle_turn(self) -> None:
        """Wait for a turn, and do nothing in it. Raises Unavailable when the term is over."""
        async with self.turn():
            pass

    def nothing_waits(self) -> bool:
        """Whether no task waits for a worker, so that events that free a slot may wait."""
        return self._desk is not None and not len(self._desk.queue)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """A turn of the desk: the block changes it, then tasks are placed, then the changes are written.

        Raises Unavailable once the leader has been stopped: its term is over.
        """
        async with self._lock:
            if self._over:
                raise Unavailable("this term's scheduler")
            desk, timers = self._desk, -1
            if desk is None:
                desk = await self._rebuild()
            else:
                timers = desk.totals.timers
            self._desk = None  # if anything fails from here on, the next turn rebuilds it from the tables
            turn = Turn(desk, self.moment())
            yield turn
            await self._finish(turn)
            self._desk = desk
            self._counters.watch(desk)
        if desk.totals.timers != timers:
            self.timed()

    async def hear(self, news: Heartbeat | Offer, *, outcomes_read: bool = False) -> None:
        """Handle a heartbeat or an offer, and send the worker the resulting orders. A heartbeat that would make
        executions of a former incarnation lost is held back first, unless stored outcomes were handled
        (`outcomes_read`).

        Raises Unavailable when another leader has taken over: that one sends the orders.
        """
        answer = Answer()
        async with self.turn() as turn:
            if not isinstance(news, Heartbeat):
                turn.desk.offer(news, turn.now)
            elif self.hold_back is not None and not outcomes_read and turn.desk.leaves_behind(news):
                self.hold_back(news)
            else:
                answer = turn.desk.heartbeat(news, turn.now, timely=self.timely())
        if answer:
            # A turn that writes nothing does not notice that another leader has taken over.
            await self._store.confirm_epoch(self._epoch)
            await self._tell(news.worker_id, answer)

    def timely(self) -> bool:
        """Whether events from the stream arrive without much delay, so that a missing one is not just late."""
        return self.delay() <= self._lease / 3

    async def unnamed(self, after: float, limit: int) -> list[Overdue]:
        """At most `limit` placed tasks that their worker's heartbeats have not listed for `after` seconds."""
        async with self._lock:
            tasks = [] if self._desk is None else self._desk.unnamed(self.moment(), after=after, limit=limit)
            return [_overdue(task) for task in tasks]

    async def tell_to_drain(self, worker_id: str) -> None:
        """Order an agent to drain. Best effort: placement does not depend on it.

        The desk must have the drain first. Otherwise the agent's report that it drains would be news to it, and
        `workers.draining` would be published twice.
        """
        await self._send(worker_id, "drain", Drain(exit=False))

    async def tell_to_resume(self, worker_id: str) -> None:
        """Order an agent to resume. Best effort: the answer to its next heartbeat repeats the order."""
        await self._send(worker_id, "resume", Resume())

    async def note_heartbeats(self, since: float) -> tuple[int, float]:
        """Write the times of heartbeats after `since` (a wall-clock timestamp). Returns their number and the latest.

        It takes the lock, because a turn may be about to write the same rows in another order. It also applies drains
        and removals that are in the tables and whose events were missed.
        """
        async with self._lock:
            moments = {} if self._desk is None else {w: w.heard_at.timestamp() for w in self._desk.roster if w.heard_at}
            heard = [worker for worker, moment in moments.items() if moment > since]
            if not heard:
                return 0, since
            await self._store.write_heartbeats(self._epoch, heard)
        for worker_id, drained in (await self._store.known_otherwise(heard)).items():
            if drained is None:
                async with self.turn() as turn:
                    worker = turn.desk.roster.get(worker_id)
                    if worker is not None and not worker.placed:  # else wait for the executions or the lease to end
                        await self.remove(turn, [worker_id])
            else:
                await self.set_drained(worker_id, drained)
        return len(heard), max(moments.values())

    async def remove(self, turn: Turn, worker_ids: Iterable[str]) -> None:
        """Remove those of these workers whose rows were deleted over REST."""
        known = [id for id in worker_ids if turn.desk.roster.get(id) is not None]
        if known:
            for id in set(known) - await self._store.existing_workers(known):
                turn.desk.removed(id, turn.now)

    async def set_drained(self, worker_id: str, drained: bool) -> None:
        """Apply a drain that was ordered or lifted in the tables."""
        async with self.turn() as turn:
            if drained:
                unheard = turn.desk.drain(WorkerDraining(worker_id=worker_id, ordered=True))
            else:
                unheard = turn.desk.resume(WorkerResumed(worker_id=worker_id))
        if unheard:
            await (self.tell_to_drain(worker_id) if drained else self.tell_to_resume(worker_id))

    async def _finish(self, turn: Turn) -> None:
        desk = turn.desk
        while True:
            started = time.perf_counter()
            if desk.place(turn.now):
                self._counters.placement_seconds.observe(time.perf_counter() - started)
            changes = desk.take()
            if not changes:
                return
            refused = await self._store.write(self._epoch, changes)
            placed = changes.scheduled
            if refused:
                placed = [task for task in placed if task.task_id not in refused]
            self._counters.placed(placed, turn.now.wall)
            self._traces.written(changes, refused)
            if not desk.written(changes, refused):
                return
            # The room of the refused tasks is free again, so place once more.

    async def _rebuild(self) -> Desk:
        started = time.perf_counter()
        desk = Desk(lease=self._lease, patience=self._patience, new_id=new_id, born=self.moment())
        tasks, workers, reserved = await self._store.load()
        priorities = await self._store.load_priorities()
        desk.restore(tasks, workers, self.moment(), reserved=reserved, priorities=priorities)
        _log.info(
            "desk.rebuilt",
            tasks=len(tasks),
            workers=len(workers),
            duration_ms=round((time.perf_counter() - started) * 1000, 3),
        )
        return desk

    async def _tell(self, worker_id: str, answer: Answer) -> None:
        if ids := answer.fenced:
            _log.warning("worker.fenced", worker_id=worker_id, execution_ids=ids[:MANY], count=len(ids))
            await self._send(worker_id, "stop", Stop(execution_ids=ids, reason=Reason.FENCED))
        for reason, ids in answer.stopped.items():
            _log.info("worker.told_again", worker_id=worker_id, execution_ids=ids[:MANY], count=len(ids))
            await self._send(worker_id, "stop", Stop(execution_ids=ids, reason=reason))
        if answer.drain:
            await self.tell_to_drain(worker_id)
        if answer.resume:
            await self.tell_to_resume(worker_id)
        if ids := answer.sought:
            _log.warning("worker.asked", worker_id=worker_id, execution_ids=ids[:MANY], count=len(ids))
            await self._send(worker_id, "seek", Seek(execution_ids=ids))

    async def _send(self, worker_id: str, verb: AgentVerb, order: EventModel) -> None:
        try:
            await self._bus.send(self._bus.catalogue.agent(worker_id, verb), order.model_dump_json().encode())
        except BusUnavailable as error:  # its next heartbeat asks again
            _log.info("worker.order_unsent", worker_id=worker_id, order=verb, error=str(error))


def _overdue(task: Task) -> Overdue:
    return Overdue(
        task_id=task.task_id,
        job_id=task.job_id,
        attempt=task.attempt,
        status="running",
        execution_id=task.execution_id,
        worker_id=task.worker_id,
        incarnation=task.incarnation,
    )
