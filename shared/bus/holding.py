"""The messages that a consumer holds, and its replies to the server about them.

Here: acknowledging a message, requesting its redelivery after a growing delay, giving it back, and the sign that it is
still in progress. Not here: which of these a message gets (`shared.bus.settling`).
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

import orjson
import structlog
from nats.aio.msg import Msg

from shared.bus.connection import Connection
from shared.bus.declare import NANOS
from shared.bus.errors import BusError
from shared.bus.failures import Failures
from shared.bus.metrics import ConsumerMetrics
from shared.bus.pull import Position
from shared.errors import BusUnavailable

log = structlog.get_logger(__name__)

ACK: Final = b"+ACK"
NAK: Final = b"-NAK"
IN_PROGRESS: Final = b"+WPI"

NAK_FIRST_DELAY: Final = 0.1
NAK_LONGEST_DELAY: Final = 10.0
SIGNS_OF_LIFE: Final = 4
"""Signs of progress within `ack_wait`, so that two of them may be late or lost."""


class Holding:
    """The messages of one consumer: those that it has taken, and those in `buffer`, which have arrived and wait."""

    def __init__(
        self,
        buffer: deque[Msg],
        *,
        connection: Connection,
        failures: Failures,
        metrics: ConsumerMetrics,
        ack_wait: float,
    ) -> None:
        self._buffer = buffer
        self._connection = connection
        self._failures = failures
        self._metrics = metrics
        self._ack_wait = ack_wait
        self._held: dict[str, Msg] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no arrived message is unhandled."""
        return not self._held and not self._buffer

    def take(self) -> Msg:
        """Take the first message of the buffer."""
        raw = self._buffer.popleft()
        self._held[raw.reply] = raw
        return raw

    def drop(self, raw: Msg) -> None:
        """Stop holding a message, without a reply."""
        self._held.pop(raw.reply, None)

    async def acknowledge(self, messages: Sequence[Msg]) -> None:
        for raw in messages:
            self.drop(raw)
        await self._reply(messages, ACK)

    async def again(self, raw: Msg, position: Position) -> None:
        """Count a failure of the message, and request its redelivery after a delay that grows with the failures."""
        failures = self._failures.note(position.stream_seq)
        delay = min(NAK_FIRST_DELAY * 2 ** (failures - 1), NAK_LONGEST_DELAY)
        self.drop(raw)
        await self._reply([raw], NAK + b" " + orjson.dumps({"delay": int(delay * NANOS)}))

    async def all_again(self) -> None:
        """As `again`, for each taken message."""
        for raw in list(self._held.values()):
            await self.again(raw, Position.of(raw.reply))

    async def give_back(self) -> None:
        """Give all messages back for redelivery. It does not count as a failure of theirs."""
        messages = [*self._held.values(), *self._buffer]
        self._held.clear()
        self._buffer.clear()
        for raw in messages:
            self._failures.spare(Position.of(raw.reply).stream_seq)
        await self._reply(messages, NAK)

    async def keep_alive(self) -> None:
        """Report repeatedly to the server that held messages are in progress, so that it does not redeliver them."""
        while True:
            await asyncio.sleep(self._ack_wait / SIGNS_OF_LIFE)
            if not self._connection.connected:
                continue  # the reports would only queue up; the server redelivers the held messages
            await self._reply([*self._held.values(), *self._buffer], IN_PROGRESS)

    async def _reply(self, messages: Sequence[Msg], word: bytes) -> None:
        if not messages:
            return
        try:
            await self._connection.post_all([message.reply for message in messages], word)
        except (BusUnavailable, BusError) as error:
            self._metrics.lost_replies.inc()
            log.warning("consumer.reply_lost", error=str(error))
