"""Listening to the events of one entity, for requests that wait: long polls, live streams, verdicts of other services.

JetStream subjects are ordinary NATS subjects as well, so every replica can receive each event as it is published,
independently of the consumer that handles it. Nothing is stored or acknowledged here. A waiting request that misses an
event finds its effect in the database, so it reads the database from time to time.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

import structlog

from schemas.cloudevents import MalformedEvents, decode_batch
from schemas.events import EventData
from shared.bus.bus import Bus, Subscription

W = TypeVar("W")
Read = Callable[[str, bytes, Collection[str], str | None], Iterable[tuple[str, W]]]
"""A function that decodes a message, from its event type, its payload, the ids of entities with a listener, and the
worker whose agent published it (None for a service). It returns pairs of an entity's id and the value for its
listeners. It raises MalformedEvents."""

UNHEARD_LIMIT: Final = 64
"""Events that one listener's queue holds; more are dropped."""
MOST: Final = 20_000
"""Most entities that have listeners at the same time; a further listener receives nothing."""
FEW: Final = 16
"""Up to so many entities, searching a message for their ids is cheaper than decoding it."""

_log = structlog.get_logger(__name__)


class Listener(Generic[W]):
    """A queue of the events of some entities from its creation on. With `accepts`, only those for which it returns
    True."""

    def __init__(self, accepts: Callable[[W], bool] | None = None) -> None:
        self.dropped = 0
        """Events that were dropped because the queue was full."""
        self._accepts = accepts
        self._unheard: asyncio.Queue[W] = asyncio.Queue(UNHEARD_LIMIT)

    def tell(self, heard: W) -> None:
        """Queue an event, if it is accepted and the queue is not full."""
        if self._accepts is not None and not self._accepts(heard):
            return
        if self._unheard.full():
            self.dropped += 1
        else:
            self._unheard.put_nowait(heard)

    async def next(self, within: float) -> W | None:
        """Wait for the next event for at most `within` seconds. Returns None if none came."""
        try:
            async with asyncio.timeout(within):
                return await self._unheard.get()
        except TimeoutError:
            return None

    async def all(self, within: float) -> list[W]:
        """As `next`, with all further events that are queued by then."""
        first = await self.next(within)
        heard = [] if first is None else [first]
        while not self._unheard.empty():
            heard.append(self._unheard.get_nowait())
        return heard


class Listening(Generic[W]):
    """The listeners of each entity; a service that subscribes to `event_types`.

    It decodes a message only if that may be about an entity with a listener. An event type may be a pattern
    (`tasks.*`).
    """

    name: Final = "listening"

    def __init__(self, bus: Bus, event_types: Sequence[str], read: Read[W], *, most: int = MOST) -> None:
        self._bus = bus
        self._event_types = event_types
        self._read = read
        self._most = most
        self._listeners: dict[str, list[Listener[W]]] = {}
        self._subscriptions: list[Subscription] = []
        self._widening = asyncio.Lock()
        self._wide: set[str] = set()

    async def start(self) -> None:
        """Subscribe."""
        await self.widen(self._event_types)

    async def stop(self) -> None:
        """End all subscriptions."""
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        self._subscriptions = []
        self._wide.clear()

    async def widen(self, event_types: Iterable[str]) -> None:
        """Subscribe to these event types as well, unless already subscribed.

        Events published before the server has the subscription are missed.
        """
        async with self._widening:
            for event_type in event_types:
                if event_type not in self._wide:
                    for subject in self._bus.catalogue.events(event_type):
                        self._subscriptions.append(await self._bus.subscribe(subject, self._hear))
                    self._wide.add(event_type)

    @property
    def hearing(self) -> bool:
        """Whether events can arrive now."""
        return self._bus.connected

    @contextmanager
    def about(self, *entity_ids: str, accepts: Callable[[W], bool] | None = None) -> Iterator[Listener[W]]:
        """Listen to these entities for as long as the block runs.

        Enter the block before looking into the database, so that nothing is missed in between.
        """
        listener = Listener(accepts)
        if len(self._listeners) + len(entity_ids) > self._most:
            _log.warning("listener.too_many", entity_ids=entity_ids)
            entity_ids = ()
        for entity_id in entity_ids:
            self._listeners.setdefault(entity_id, []).append(listener)
        try:
            yield listener
        finally:
            for entity_id in entity_ids:
                self._listeners[entity_id].remove(listener)
                if not self._listeners[entity_id]:
                    del self._listeners[entity_id]
            if listener.dropped:
                _log.debug("listener.events_dropped", entity_ids=entity_ids, count=listener.dropped)

    def tell(self, entity_id: str, heard: W) -> None:
        """Give an entity's listeners an event that this process knows by itself, for example from its own commit."""
        for listener in self._listeners.get(entity_id, ()):
            listener.tell(heard)

    async def _hear(self, subject: str, payload: bytes, _reply: str) -> None:
        ids: Collection[str] = self._listeners
        if len(ids) <= FEW:
            ids = [entity_id for entity_id in ids if entity_id.encode() in payload]
        if not ids:
            return
        event_type, worker_id = self._bus.catalogue.event_type(subject), self._bus.catalogue.worker(subject)
        try:
            for entity_id, heard in self._read(event_type, payload, ids, worker_id):
                self.tell(entity_id, heard)
        except MalformedEvents as error:
            if worker_id is not None:
                return  # the durable consumers count what workers send
            _log.warning("listener.unreadable", event_type=event_type, error=str(error))


def listen(bus: Bus, *types: type[EventData]) -> Listening[EventData]:
    """Make a service that listens to these event types, by the entity that an event is about (its `subject`)."""
    return Listening(bus, [kind.event_type for kind in types], _events)


def _events(
    event_type: str, payload: bytes, _ids: Collection[str], worker_id: str | None
) -> Iterator[tuple[str, EventData]]:
    for event in decode_batch(event_type, payload, worker_id):
        yield event.subject, event.data
