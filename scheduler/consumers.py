"""The scheduler's event handlers, and the leader's subscription to agents: decode, call, acknowledge.

An event is acknowledged after its handler returns, which is after the commit. Heartbeats and offers come on core NATS:
the next one makes up for a lost one.
"""

from collections.abc import Sequence
from typing import Final

import structlog
from prometheus_client import Counter

from scheduler.domain.priorities import JobPriority
from scheduler.leader import Leader, Turn
from scheduler.loops import Silence
from scheduler.store.firings import FiringStore
from scheduler.store.turns import MARKS_KEPT
from schemas.agents import Heartbeat, Offer
from schemas.cloudevents import CloudEvent
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
from schemas.ids import is_id
from shared.bus import Bus, Subscription
from shared.outbox import Outbox

_log = structlog.get_logger(__name__)

Events = Sequence[CloudEvent[EventData]]


class PlacementEvents:
    """The handler of `scheduler-placement`: one batch is one turn."""

    def __init__(self, leader: Leader, silence: Silence) -> None:
        self._leader = leader
        self._silence = silence

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
            desk.finish(data)
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

    def __init__(self, bus: Bus, leader: Leader, refused: Counter) -> None:
        self._bus = bus
        self._leader = leader
        self._refused = refused
        self._subscriptions: list[Subscription] = []

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
            if not (is_id(news.worker_id) and is_id(news.incarnation)):
                raise ValueError("the worker or its incarnation is not named by an id")
        except ValueError as error:
            self._refused.inc()
            _log.warning("agent.unreadable", subject=subject, error=str(error).splitlines()[0])
            return
        await self._leader.hear(news)


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
