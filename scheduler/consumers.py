"""The scheduler's event handlers, and the leader's subscription to agents: decode, call, acknowledge.

An event is acknowledged after its handler returns, which is after the commit. Heartbeats and offers come on core NATS:
the next one makes up for a lost one.
"""

from collections.abc import Sequence
from typing import Final

import structlog
from prometheus_client import Counter

from scheduler.bounds import WorkerBounds
from scheduler.domain.leases import OUTDATED
from scheduler.domain.priorities import JobPriority
from scheduler.leader import Leader, Turn
from scheduler.loops import Silence
from scheduler.store.firings import FiringStore
from scheduler.store.turns import MARKS_KEPT
from schemas.agents import PROTOCOL, Heartbeat, Offer
from schemas.cloudevents import CloudEvent, by_agent
from schemas.events import (
    EventData,
    ExecutionFinished,
    ExecutionReturned,
    JobReprioritized,
    ScheduleConfirmed,
    ScheduleFailed,
    ScheduleFinished,
    ScheduleRefused,
    TaskCancelRequested,
    TaskQueued,
    WorkerDraining,
    WorkerOffline,
    WorkerRegistered,
    WorkerResumed,
    WorkerStopped,
)
from schemas.storable import fault_of_news
from shared.bus import Bus, Foreign, ForeignKind, Subscription
from shared.outbox import Outbox
from shared.telemetry import LinePace

_log = structlog.get_logger(__name__)

MOST_OUTDATED: Final = 1000

Events = Sequence[CloudEvent[EventData]]


class PlacementEvents:
    """The handler of `scheduler-placement`: one batch is one turn."""

    def __init__(self, leader: Leader, silence: Silence, foreign: Foreign) -> None:
        self._leader = leader
        self._silence = silence
        self._foreign = foreign

    async def handle(self, events: Events) -> None:
        async with self._leader.turn() as turn:
            offline: set[str] = set()
            drained: list[str] = []
            resumed: list[str] = []
            turn.desk.reprioritize(_priorities(events, turn), turn.now)
            for event in events:
                match event.data:
                    case WorkerOffline(worker_id=id):
                        offline.add(id)
                    case WorkerRegistered(has_agent=False):
                        self._silence.wake()
                    case WorkerDraining() as data:
                        if turn.desk.drain(data):
                            drained.append(data.worker_id)
                    case WorkerResumed() as data:
                        if turn.desk.resume(data):
                            resumed.append(data.worker_id)
                    case ExecutionFinished() | ExecutionReturned() as data if by_agent(event) and turn.desk.is_foreign(
                        data
                    ):
                        self._foreign.count(ForeignKind.REPORT, data.worker_id, ids=[data.execution_id])
                    case data:
                        _apply(turn, data, event)
            # The scheduler has published most of these events itself.
            await self._leader.remove(turn, offline)
        for id in drained:
            await self._leader.tell_to_drain(id)
        for id in resumed:
            await self._leader.tell_to_resume(id)


def _priorities(events: Events, turn: Turn) -> list[JobPriority]:
    """The changed priorities of jobs that the events name. They come first, because the order does not matter and one
    search for the tasks of all these jobs is enough."""
    said = [
        JobPriority.of(event.data)
        for event in events
        if isinstance(event.data, JobReprioritized | TaskQueued) and turn.now.wall - event.time < MARKS_KEPT
    ]
    return [one for one in said if one is not None]


def _apply(turn: Turn, data: EventData, event: CloudEvent[EventData]) -> None:
    desk, now = turn.desk, turn.now
    match data:
        case TaskQueued() if now.wall - event.time >= MARKS_KEPT:
            # The stream may be read again from its beginning, after the mark that the attempt has ended was purged. For
            # a task that still waits the orchestrator publishes a new event.
            desk.totals.stale += 1
        case TaskQueued():
            desk.arrive(data, now, traceparent=event.traceparent)
        case ExecutionFinished():
            desk.finish(data, by_agent=by_agent(event))
        case TaskCancelRequested():
            desk.cancel(data)
        case ExecutionReturned():
            desk.give_back(data, now)
        case WorkerStopped():
            desk.stopped(data, event.time, now)
        case WorkerRegistered():
            pass  # published by the scheduler itself
        case JobReprioritized():
            pass  # applied before
        case _:
            _log.warning("event.unexpected", event_type=event.type, event_id=event.id)


class AgentNews:
    """Receives the heartbeats and offers of all agents; a service of the leader."""

    name: Final = "agent news"

    def __init__(self, bus: Bus, leader: Leader, refused: Counter, bounds: WorkerBounds) -> None:
        self._bus = bus
        self._bounds = bounds
        self._leader = leader
        self._refused = refused
        self._subscriptions: list[Subscription] = []
        self._lines = LinePace()
        self._outdated: set[str] = set()
        """The incarnations of agents of an earlier version that were logged."""

    async def start(self) -> None:
        subject = self._bus.catalogue.agent
        try:
            self._subscriptions.append(await self._bus.subscribe(subject("*", "heartbeat"), self._heartbeat))
            self._subscriptions.append(await self._bus.subscribe(subject("*", "offer"), self._offer))
        except BaseException:
            await self.stop()  # the lifecycle does not stop a service whose start failed
            raise

    async def stop(self) -> None:
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        self._subscriptions = []

    async def _heartbeat(self, subject: str, payload: bytes, _reply: str) -> None:
        await self._hear(Heartbeat, subject, payload)

    async def _offer(self, subject: str, payload: bytes, _reply: str) -> None:
        await self._hear(Offer, subject, payload)

    async def _hear(self, kind: type[Heartbeat] | type[Offer], subject: str, payload: bytes) -> None:
        try:
            news = kind.model_validate_json(payload)
            if (fault := fault_of_news(news, payload)) is not None:
                raise ValueError(fault)
        except ValueError as error:
            self._refused.inc()
            if (unlogged := self._lines.due()) is not None:
                reason = str(error).splitlines()[0]
                _log.warning("agent.unreadable", subject=subject, error=reason, unlogged=unlogged)
            return
        if (named := self._bus.catalogue.agent_of(subject)) != news.worker_id:
            self._bus.foreign.count(ForeignKind.HEARTBEAT, named, ids=[news.worker_id])
            return
        if news.protocol < PROTOCOL:
            self._note_outdated(news)  # it gets no work
        if isinstance(news, Heartbeat) and (why := self._bounds.broken_by(news)) is not None:
            self._refused.inc()
            if (unlogged := self._lines.due()) is not None:
                _log.warning("agent.out_of_bounds", worker_id=news.worker_id, reason=why, unlogged=unlogged)
            return
        await self._leader.hear(news)

    def _note_outdated(self, news: Offer) -> None:
        """Log one line for each agent of an earlier version."""
        if news.incarnation in self._outdated:
            return
        if len(self._outdated) >= MOST_OUTDATED:
            self._outdated.clear()
        self._outdated.add(news.incarnation)
        _log.warning("agent.outdated", worker_id=news.worker_id, incarnation=news.incarnation, reason=OUTDATED)


class VerdictRecords:
    """The handler of `scheduler-verdicts`: what the orchestrator answers about schedules and their firings, and how the
    jobs of firings end."""

    def __init__(self, firings: FiringStore, outbox: Outbox) -> None:
        self._firings = firings
        self._outbox = outbox

    async def handle(self, events: Events) -> None:
        refused = [event.data for event in events if isinstance(event.data, ScheduleRefused)]
        confirmed = [event.data for event in events if isinstance(event.data, ScheduleConfirmed)]
        finished = [event.data for event in events if isinstance(event.data, ScheduleFinished)]
        async with self._outbox.transaction() as tx:
            if refused:
                failed = await self._firings.refuse(tx, refused)
                tx.emit(*(ScheduleFailed(schedule_id=one.id, detail=one.detail) for one in failed))
            if confirmed:
                await self._firings.confirm(tx, confirmed)
            if finished:
                await self._firings.finish(tx, finished)
