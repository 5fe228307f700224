"""Hearing at once of one entity, for requests that wait: long polls, live streams, and verdicts of another service.

Bus subjects are ordinary NATS subjects as well, so that every replica hears each event as it is published, beside the
consumer that handles it. Nothing is stored and nothing is acknowledged here: a waiter that misses an event finds its
effect in the database, so it looks there from time to time.
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
Read = Callable[[str, bytes, Collection[str]], Iterable[tuple[str, W]]]
"""Reads a message: its event type, its payload, and the ids of the entities that it may be about. Returns pairs of an
entity's id and what is heard of it. Raises MalformedEvents."""

UNHEARD_LIMIT: Final = 64
"""Events that one listener may leave unheard; more are dropped."""
MOST: Final = 20_000
"""Entities that are listened to at the same time; a listener to one more hears nothing."""
FEW: Final = 16
"""Up to so many entities, searching a message for their ids is cheaper than parsing it."""

_log = structlog.get_logger(__name__)


class Listener(Generic[W]):
    """Hears of some entities from its creation on. With `accepts`, only what it returns True for."""

    def __init__(self, accepts: Callable[[W], bool] | None = None) -> None:
        self.dropped = 0
        """Events that were dropped because too many were unheard."""
        self._accepts = accepts
        self._unheard: asyncio.Queue[W] = asyncio.Queue(UNHEARD_LIMIT)

    def tell(self, heard: W) -> None:
        """Add to what is unheard, if it is accepted and not too much is unheard already."""
        if self._accepts is not None and not self._accepts(heard):
            return
        if self._unheard.full():
            self.dropped += 1
        else:
            self._unheard.put_nowait(heard)

    async def next(self, within: float) -> W | None:
        """Wait for the next event, for `within` seconds at the most. Returns None when there is none by then."""
        try:
            async with asyncio.timeout(within):
                return await self._unheard.get()
        except TimeoutError:
            return None

    async def all(self, within: float) -> list[W]:
        """As `next`, with all further events that are unheard by then."""
        first = await self.next(within)
        heard = [] if first is None else [first]
        while not self._unheard.empty():
            heard.append(self._unheard.get_nowait())
        return heard


class Listening(Generic[W]):
    """Who listens to which entity; a service that subscribes to `event_types`.

    Only messages that may be about an entity with a listener are read. An event type may be a pattern (`tasks.*`).
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
        """Begin to hear."""
        await self.widen(self._event_types)

    async def stop(self) -> None:
        """Hear nothing more."""
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        self._subscriptions = []
        self._wide.clear()

    async def widen(self, event_types: Iterable[str]) -> None:
        """Subscribe to these event types as well, unless that was done before.

        What is published before the server has the subscription is missed.
        """
        async with self._widening:
            for event_type in event_types:
                if event_type not in self._wide:
                    subject = self._bus.catalogue.event(event_type)
                    self._subscriptions.append(await self._bus.subscribe(subject, self._hear))
                    self._wide.add(event_type)

    @property
    def hearing(self) -> bool:
        """Whether anything can be heard now."""
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
        """Tell the listeners to an entity what this process knows by itself, from its own commit for example."""
        for listener in self._listeners.get(entity_id, ()):
            listener.tell(heard)

    async def _hear(self, subject: str, payload: bytes, _reply: str) -> None:
        ids: Collection[str] = self._listeners
        if len(ids) <= FEW:
            ids = [entity_id for entity_id in ids if entity_id.encode() in payload]
        if not ids:
            return
        event_type = self._bus.catalogue.event_type(subject)
        try:
            for entity_id, heard in self._read(event_type, payload, ids):
                self.tell(entity_id, heard)
        except MalformedEvents as error:
            _log.warning("listener.unreadable", event_type=event_type, error=str(error))


def listen(bus: Bus, *types: type[EventData]) -> Listening[EventData]:
    """Make a service that hears these types of event, each by the entity that it is about (its `subject`)."""
    return Listening(bus, [kind.event_type for kind in types], _events)


def _events(event_type: str, payload: bytes, _ids: Collection[str]) -> Iterator[tuple[str, EventData]]:
    for event in decode_batch(event_type, payload):
        yield event.subject, event.data
