"""Writes dead letters: events that a consumer failed to handle, each with its last error.

Here: what a letter contains and how much of the event it keeps. Not here: when a consumer gives up on an event
(`shared.bus.settling`).
"""

from typing import Final

import orjson
import structlog
from nats.aio.msg import Msg

from schemas.subjects import Catalogue, DeadLetter
from shared.bus.metrics import ConsumerMetrics
from shared.bus.publish import Publisher
from shared.bus.pull import Position
from shared.telemetry import TRACEPARENT

log = structlog.get_logger(__name__)

LARGEST_LETTER: Final = 256 * 1024
"""Bytes. A letter keeps only the beginning of a larger event, as text."""
LONGEST_ERROR: Final = 4000


class DeadLetters:
    """The dead letters of one durable consumer."""

    def __init__(self, durable: str, *, publisher: Publisher, catalogue: Catalogue, metrics: ConsumerMetrics) -> None:
        self.sent = 0
        """Events (or undecodable messages) moved to the dead letters."""
        self._durable = durable
        self._publisher = publisher
        self._catalogue = catalogue
        self._metrics = metrics

    async def bury(self, raw: Msg, index: int, error: Exception) -> None:
        """Store one event of a message, by its index, as a dead letter. Raises BusUnavailable or BusError when the
        letter was not stored."""
        event: object = orjson.loads(raw.data)[index]
        log.error(
            "dead_letter.event",
            consumer=self._durable,
            event_type=self._catalogue.event_type(raw.subject),
            entity_id=event.get("subject") if isinstance(event, dict) else None,
            error=repr(error),
        )
        encoded = orjson.dumps(event)
        kept = event if len(encoded) <= LARGEST_LETTER else _as_text(encoded)
        await self._send(raw, index, kept, error)

    async def bury_whole(self, raw: Msg, error: Exception) -> None:
        """Store a message that is not a batch of events, with its payload as text. Raises as `bury`."""
        log.error("dead_letter.undecodable", consumer=self._durable, error=str(error))
        await self._send(raw, 0, _as_text(raw.data), error)

    async def _send(self, raw: Msg, index: int, event: object, error: Exception) -> None:
        position = Position.of(raw.reply)
        letter = DeadLetter(
            consumer=self._durable,
            subject=raw.subject,
            stream_seq=position.stream_seq,
            deliveries=position.deliveries,
            error=f"{type(error).__name__}: {error}"[:LONGEST_ERROR],
            event=event,
        )
        traceparent = (raw.headers or {}).get(TRACEPARENT)
        await self._publisher.publish(
            self._catalogue.dead(self._durable),
            letter.model_dump_json().encode(),
            msg_id=f"dead-{self._durable}-{position.stream_seq}-{index}",
            headers={TRACEPARENT: traceparent} if traceparent else None,
        )
        self.sent += 1
        self._metrics.dead_letters.inc()


def _as_text(payload: bytes) -> str:
    """The beginning of a payload, cut so that its JSON form stays within LARGEST_LETTER (a character may take six
    bytes as JSON)."""
    text = payload[:LARGEST_LETTER].decode("utf-8", "replace")
    while (size := len(orjson.dumps(text))) > LARGEST_LETTER:
        text = text[: len(text) * LARGEST_LETTER // size - 1]
    return text
