"""Sends one message of the outbox to the bus, and handles messages that the bus refuses.

A refused message stays in the table and is tried again after a minute. Of a message that is too large, the events go
one by one; an event that is too large by itself goes to the handler of its type (`undeliverable`), if there is one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol

import structlog
from prometheus_client import Counter

from schemas.cloudevents import CloudEvent, decode_batch, encode_batch
from schemas.events import EventData
from schemas.subjects import Catalogue
from shared.errors import BusUnavailable, MessageTooLarge, NotPermitted
from shared.outbox.messages import HEAD_ROOM, MERGE_LIMIT, Message
from shared.telemetry import Metrics

REFUSED_PAUSE: Final = 60.0
"""Seconds until a message that the bus refused is tried again."""

Undeliverable = Callable[[Sequence[EventData]], Awaitable[None]]
"""Handles events that are too large for the bus."""

_log = structlog.get_logger(__name__)


class Publisher(Protocol):
    """The part of `shared.bus.Bus` that the outbox needs."""

    @property
    def catalogue(self) -> Catalogue: ...

    @property
    def connected(self) -> bool: ...

    @property
    def max_payload(self) -> int: ...

    def on_change(self, listener: Callable[[bool], None]) -> Callable[[], None]: ...

    def publish(
        self, subject: str, payload: bytes, *, msg_id: str, headers: Mapping[str, str] | None = None
    ) -> Coroutine[Any, Any, None]: ...


class Sender:
    """Sends the messages of one process's outbox. `source` begins their message ids."""

    def __init__(self, bus: Publisher, *, source: str, metrics: Metrics) -> None:
        self._bus = bus
        self._source = source
        self._refused: set[int] = set()
        self._refused_until = 0.0
        self.undeliverable: dict[str, Undeliverable] = {}
        """By event type: the handler of events that are too large for the bus."""
        self._published = metrics.counter("outbox_published_total", "Events that the bus acknowledged.", ["type"])
        self._published_of: dict[str, Counter] = {}

    @property
    def limit(self) -> int:
        """Bytes up to which rows are merged into a message."""
        return min(MERGE_LIMIT, self._bus.max_payload - HEAD_ROOM)

    def refused(self) -> frozenset[int]:
        """The ids of refused rows that must not be tried again yet."""
        if asyncio.get_running_loop().time() >= self._refused_until:
            self._refused.clear()
        return frozenset(self._refused)

    def begin(self, message: Message) -> Coroutine[Any, Any, None]:
        """Send a message now. The caller passes the result to `finish`."""
        return self._bus.publish(
            self._bus.catalogue.event(message.event_type),
            message.payload,
            msg_id=message.msg_id(self._source),
            headers={"traceparent": message.traceparent} if message.traceparent else None,
        )

    async def finish(self, message: Message, stored: Coroutine[Any, Any, None]) -> bool:
        """Wait until a message is stored. Returns False if the bus refuses it; its rows stay in the table then.

        Raises BusUnavailable.
        """
        try:
            await self._store(message, stored)
        except Exception as error:  # one message that cannot be sent must not hold up the others
            if isinstance(error, BusUnavailable) and not isinstance(error, NotPermitted):
                raise
            rows = [row.id for row in message.rows]
            self._refused.update(rows)
            self._refused_until = asyncio.get_running_loop().time() + REFUSED_PAUSE
            _log.error("outbox.refused", event_type=message.event_type, row_ids=rows, error=str(error))
            return False
        counter = self._published_of.get(message.event_type)
        if counter is None:
            counter = self._published_of[message.event_type] = self._published.labels(message.event_type)
        counter.inc(message.events)
        return True

    async def _store(self, message: Message, stored: Coroutine[Any, Any, None]) -> None:
        """Wait until a message is stored. If it is too large, wait until each of its events is stored or handled."""
        try:
            await stored
        except MessageTooLarge as error:
            too_large = await self._store_apart(message)
            if not too_large:
                return
            handler = self.undeliverable.get(message.event_type)
            if handler is None:
                raise
            ids = [event.subject for event in too_large]
            _log.error("outbox.undeliverable", event_type=message.event_type, entity_ids=ids, error=str(error))
            await handler([event.data for event in too_large])

    async def _store_apart(self, message: Message) -> list[CloudEvent[EventData]]:
        """Publish the events of a message one by one. Returns those that are too large by themselves."""
        too_large: list[CloudEvent[EventData]] = []
        for number, event in enumerate(decode_batch(message.event_type, message.payload)):
            try:
                await self._bus.publish(
                    self._bus.catalogue.event(message.event_type),
                    encode_batch([event]),
                    msg_id=f"{message.msg_id(self._source)}-{number}",
                    headers={"traceparent": event.traceparent} if event.traceparent else None,
                )
            except MessageTooLarge:
                too_large.append(event)
        return too_large
