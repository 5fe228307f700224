"""The envelope: CloudEvents 1.0 in JSON, one by one or as a batch, and nothing about where they are sent.

On the bus every message is a batch (`application/cloudevents-batch+json`) of events of one type; see the
CloudEvents JSON format, section 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final, Generic, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from schemas.events import EVENT_TYPES, EventData
from schemas.model import Instant, rfc3339
from schemas.storable import fault_of_report

BATCH_CONTENT_TYPE: Final = "application/cloudevents-batch+json"
EVENT_CONTENT_TYPE: Final = "application/cloudevents+json"

D = TypeVar("D", bound=EventData)

_OF_WORKERS: Final = "/hodei/workers/"
_SOME_TIME: Final = datetime(2026, 1, 1, tzinfo=UTC)


class MalformedEvents(ValueError):
    """A message is not a CloudEvents batch of the type that its subject promises."""


class ForeignEvents(MalformedEvents):
    """A message on a worker's subject contains an event of another worker, or one that is signed by another."""


@dataclass(frozen=True, slots=True)
class CloudEvent(Generic[D]):
    """One event. `type` is `hodei.<event_type>.v<version>` whatever the namespace; `subject` the entity's id;
    `source` the service that said it (`/hodei/scheduler`); `traceparent` the W3C trace it belongs to."""

    id: str
    source: str
    type: str
    subject: str
    time: Instant
    data: D
    traceparent: str | None = None
    specversion: Literal["1.0"] = "1.0"
    datacontenttype: Literal["application/json"] = "application/json"


@cache
def type_name(data: type[EventData]) -> str:
    """The CloudEvents `type` of an event class: `hodei.tasks.queued.v1`."""
    return f"hodei.{data.event_type}.v{data.version}"


@cache
def _batch_adapter(data: type[D]) -> TypeAdapter[list[CloudEvent[D]]]:
    return TypeAdapter(list[CloudEvent[data]])  # type: ignore[valid-type]  # parametrised at run time


def wrap(data: D, *, id: str, source: str, time: Instant, traceparent: str | None = None) -> CloudEvent[D]:
    """Put one event's data into its envelope."""
    return CloudEvent(
        id=id,
        source=source,
        type=type_name(type(data)),
        subject=data.entity_id(),
        time=time,
        data=data,
        traceparent=traceparent,
    )


def encode(event: CloudEvent[D]) -> bytes:
    """Print one event as a JSON object; absent members are left out."""
    # Written by hand around what pydantic prints of the data: as a model of its own the envelope costs thrice as much.
    trace = b"" if event.traceparent is None else b',"traceparent":' + to_json(event.traceparent)
    return (
        b'{"specversion":"1.0","id":%b,"source":%b,"type":"%b","subject":%b,"time":"%b",'
        b'"datacontenttype":"application/json"%b,"data":%b}'
    ) % (
        to_json(event.id),
        to_json(event.source),
        event.type.encode(),
        to_json(event.subject),
        rfc3339(event.time).encode(),
        trace,
        event.data.__pydantic_serializer__.to_json(event.data, exclude_none=True),
    )


def encode_batch(events: Sequence[CloudEvent[D]]) -> bytes:
    """Print events of one type as a JSON array. Raises ValueError when it is empty or the types differ."""
    kinds = {type(event.data) for event in events}
    if len(kinds) != 1:
        raise ValueError(f"a batch holds events of exactly one type, not {sorted(k.__name__ for k in kinds)}")
    return b"[%b]" % b",".join([encode(event) for event in events])


def encode_batches(events: Sequence[CloudEvent[D]], *, limit: int) -> list[tuple[Sequence[CloudEvent[D]], bytes]]:
    """Print events of one type as batches of at most `limit` bytes each; a single event stays whole, whatever its
    size."""
    payload = encode_batch(events)
    if len(payload) <= limit or len(events) == 1:
        return [(events, payload)]
    half = len(events) // 2
    return [*encode_batches(events[:half], limit=limit), *encode_batches(events[half:], limit=limit)]


def travelling_bytes(data: EventData) -> int:
    """How many bytes the event takes as a message by itself, as large as it can become: in a trace."""
    placeholder = "0" * 36
    event = wrap(data, id=placeholder, source="/hodei/worker_manager", time=_SOME_TIME, traceparent="0" * 55)
    return len(encode_batch([event]))


def decode_batch(event_type: str, raw: bytes, worker_id: str | None = None) -> list[CloudEvent[EventData]]:
    """Parse a message that came on the subject of `event_type`, or on that of one worker. Raises MalformedEvents, also
    for a worker's report that cannot be stored, and ForeignEvents unless all events on a worker's subject are its own.
    """
    data = EVENT_TYPES.get(event_type)
    if data is None:
        raise MalformedEvents(f"no event type {event_type!r} is known")
    try:
        events = _batch_adapter(data).validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise MalformedEvents(f"{event_type}: {where}: {first['msg']}") from error
    if worker_id is not None:
        source = source_of(worker_id)
        for event in events:
            if not (
                event.source == source
                and event.subject == event.data.entity_id()
                and getattr(event.data, "worker_id", worker_id) == worker_id
            ):
                raise ForeignEvents(f"{event_type}: event {event.id!r} is not of worker {worker_id}")
            if (fault := fault_of_report(event.data, event.time, raw)) is not None:
                raise MalformedEvents(f"{event_type}: event {event.id!r} {fault}")
    return events


def source_of(worker_id: str) -> str:
    """The `source` of the events that a worker's agent publishes."""
    return f"{_OF_WORKERS}{worker_id}"


def by_agent(event: CloudEvent[D]) -> bool:
    """Whether the agent of a worker published the event, and not a service."""
    return event.source.startswith(_OF_WORKERS)
