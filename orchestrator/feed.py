"""The feed: the bus's events one by one, for people and other programs, with the entity's id in the subject.

It is a consumer of the bus that publishes each event again on core NATS, as `<namespace>.feed.<plural>.<entity
id>.<verb>`. It may lag under load and slows nothing down: large batches, a long linger, no validation (events were
validated when they were made). With `HODEI_FEED=off` it is not created.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from schemas.cloudevents import EVENT_CONTENT_TYPE
from schemas.subjects import FEED
from shared.bus import MSG_ID, Bus, Consumer
from shared.telemetry import TRACEPARENT

LINGER_MS: Final = 50
MAX_EVENTS: Final = 5000
YIELDS: Final = 7.0
"""Under load the feed gets an eighth of the process's time: it lags, and catches up when the load falls."""

Entry = tuple[str, Mapping[str, object]]
"""An event's type and its CloudEvents object."""


class Feed:
    """The feed of one namespace; a service. Replicas share the work."""

    name = "feed"

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.consumer: Consumer[Entry] = bus.consumer_of(
            FEED, self._say, decode=_split, linger_ms=LINGER_MS, yields=YIELDS, max_events=MAX_EVENTS
        )

    async def start(self) -> None:
        await self.consumer.start()

    async def stop(self) -> None:
        await self.consumer.stop()

    async def _say(self, entries: list[Entry]) -> None:
        """Send all messages, then wait once until the server has taken them: the server sets the pace."""
        await self._bus.send_all(self._message(*entry) for entry in entries)
        await self._bus.flush()

    def _message(self, event_type: str, event: Mapping[str, object]) -> tuple[str, bytes, dict[str, str]]:
        headers = {MSG_ID: str(event["id"]), "Content-Type": EVENT_CONTENT_TYPE}
        if traceparent := event.get("traceparent"):
            headers[TRACEPARENT] = str(traceparent)
        return self._bus.catalogue.feed(event_type, str(event["subject"])), orjson.dumps(event), headers


def _split(event_type: str, payload: bytes) -> Sequence[Entry]:
    events = orjson.loads(payload)
    if not isinstance(events, list):
        raise ValueError("not a batch of events")
    return [(event_type, event) for event in events]
