"""Hearing of one entity, now: for a request that waits for what becomes of it.

Bus subjects are ordinary NATS subjects as well, so that a replica hears at once of an event which another replica's
consumer handles. Nothing is decided here and nothing is stored: whoever misses a word finds it in the database.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from schemas.cloudevents import decode_batch
from schemas.events import EventData
from shared.bus import Bus, Subscription

UNHEARD_LIMIT: Final = 64
"""How many events one listener may leave unheard; more are dropped."""
FEW: Final = 16


class Listener:
    """The events about some entities, from now on."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[EventData] = asyncio.Queue(UNHEARD_LIMIT)

    def tell(self, event: EventData) -> None:
        if not self._events.full():
            self._events.put_nowait(event)

    async def next(self, within: float) -> EventData | None:
        """The next event, or None after so many seconds."""
        try:
            async with asyncio.timeout(within):
                return await self._events.get()
        except TimeoutError:
            return None

    async def hear(self) -> EventData:
        """The next event, however long it takes."""
        return await self._events.get()


class Announcements:
    """Listens to some types of event; a service. While nobody waits, messages are not even decoded."""

    name: Final = "announcements"

    def __init__(self, bus: Bus, types: Sequence[type[EventData]]) -> None:
        self._bus = bus
        self._types = types
        self._listeners: dict[str, list[Listener]] = {}
        self._subscriptions: list[Subscription] = []

    async def start(self) -> None:
        for kind in self._types:
            subject = self._bus.catalogue.event(kind.event_type)
            self._subscriptions.append(await self._bus.subscribe(subject, self._hear))

    async def stop(self) -> None:
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        self._subscriptions.clear()

    @property
    def hearing(self) -> bool:
        """Whether anything can be heard now."""
        return self._bus.connected

    @contextmanager
    def about(self, *entity_ids: str) -> Iterator[Listener]:
        """Listen to whatever is said of these entities, for as long as the block runs."""
        listener = Listener()
        for entity_id in entity_ids:
            self._listeners.setdefault(entity_id, []).append(listener)
        try:
            yield listener
        finally:
            for entity_id in entity_ids:
                self._listeners[entity_id].remove(listener)
                if not self._listeners[entity_id]:
                    del self._listeners[entity_id]

    async def _hear(self, subject: str, payload: bytes, _reply: str) -> None:
        if not self._listeners:
            return
        # Under load most messages are about others: looking for the few ids is cheaper than decoding.
        if len(self._listeners) <= FEW and not any(one.encode() in payload for one in self._listeners):
            return
        for event in decode_batch(self._bus.catalogue.event_type(subject), payload):
            for listener in self._listeners.get(event.subject, ()):
                listener.tell(event.data)
