"""The feed: the bus's events one by one, for people and other programs, with the entity's id in the subject.

It is a consumer of the bus that publishes each event again on core NATS, as `<namespace>.feed.<plural>.<entity
id>.<verb>`. It may lag under load and slows nothing down: large batches, a long linger, no validation (services
validated their events when they made them; of an agent's reports, only whose they are is checked). With
`HODEI_FEED=off` it is not created.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from schemas.cloudevents import EVENT_CONTENT_TYPE, ForeignEvents, source_of
from schemas.ids import is_id
from schemas.subjects import FEED
from shared.bus import MSG_ID, Bus, Consumer
from shared.telemetry import TRACEPARENT, trace_id_of

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
            FEED, self._say, decode=events_of, linger_ms=LINGER_MS, yields=YIELDS, max_events=MAX_EVENTS
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


def events_of(event_type: str, payload: bytes, worker_id: str | None) -> Sequence[Entry]:
    """The events of a message. Raises ValueError if it is not a batch, or has events of another worker."""
    events = orjson.loads(payload)
    if not isinstance(events, list):
        raise ValueError("not a batch of events")
    if worker_id is not None and not all(_is_report_of(worker_id, event) for event in events):
        raise ForeignEvents(f"{event_type}: not a batch of reports of worker {worker_id}")
    return [(event_type, event) for event in events]


def _is_report_of(worker_id: str, event: object) -> bool:
    """Whether an event is a report that this worker's agent may publish."""
    match event:
        case {
            "id": str(event_id),
            "source": str(source),
            "subject": str(subject),
            "data": {"execution_id": str(id), "worker_id": str(by)},
            **others,
        }:
            trace = others.get("traceparent")
            return (
                by == worker_id
                and source == source_of(worker_id)
                and subject == id
                and is_id(id)
                and is_id(event_id)  # it becomes a header
                and (trace is None or (isinstance(trace, str) and trace_id_of(trace) is not None))
            )
        case _:
            return False
