"""Settles a consumer's messages: handled and acknowledged, tried again, or moved to the dead letters.

When the handler fails, the batch is run again message by message, and a failing message event by event. Not here:
calling the handler (`shared.bus.handling`), the replies to the server (`shared.bus.holding`), and the content of a dead
letter (`shared.bus.dead_letters`).
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import structlog
from nats.aio.msg import Msg

from schemas.subjects import ConsumerSpec
from shared.bus.dead_letters import DeadLetters
from shared.bus.errors import BusError
from shared.bus.failures import Failures, HandedOutTooOften
from shared.bus.handling import Handling, Message
from shared.bus.holding import Holding
from shared.bus.metrics import ConsumerMetrics
from shared.bus.pull import Position, stored_at
from shared.errors import BusUnavailable, TooSlow

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Settling(Generic[T]):
    """Settles the messages of one consumer. Calls `changed()` when an undecodable message has become a dead letter."""

    def __init__(
        self,
        spec: ConsumerSpec,
        *,
        durable: str,
        handling: Handling[T],
        holding: Holding,
        dead_letters: DeadLetters,
        failures: Failures,
        metrics: ConsumerMetrics,
        changed: Callable[[], None],
    ) -> None:
        self.handled = 0
        """Events whose message was acknowledged after its handler returned, dead ones included."""
        self._max_failures = spec.max_failures
        self._durable = durable
        self._handling = handling
        self._holding = holding
        self._dead_letters = dead_letters
        self._failures = failures
        self._metrics = metrics
        self._changed = changed

    @property
    def dead(self) -> int:
        """Events (or undecodable messages) moved to the dead letters."""
        return self._dead_letters.sent

    async def handle(self, messages: list[Message[T]]) -> bool:
        """Handle and settle these messages. Returns whether the handler took all of them in one call."""
        error = await self._handling.attempt(messages)
        if error is None:
            await self._settle(messages)
            return True
        log.warning("consumer.handler_failed", consumer=self._durable, messages=len(messages), exc_info=error)
        for message in messages:
            alone = error if len(messages) == 1 else await self._handling.attempt([message])
            if alone is None:
                await self._settle([message])
            else:
                await self._isolate(message, alone)
        return False

    async def bury_unhandled(self, message: Message[T]) -> None:
        """Move a deadly message to the dead letters without calling the handler."""
        error = HandedOutTooOften(message.position.deliveries)
        await self._bury(message, [(index, error) for index in range(len(message.items))])

    async def bury_whole(self, raw: Msg, position: Position, error: Exception) -> None:
        """Move a message that cannot be decoded to the dead letters."""
        try:
            await self._dead_letters.bury_whole(raw, error)
        except (BusUnavailable, BusError) as away:
            log.warning("dead_letter.not_sent", consumer=self._durable, error=str(away))
            await self._holding.again(raw, position)
            return
        await self._holding.acknowledge([raw])
        self._changed()

    async def _settle(self, messages: Sequence[Message[T]]) -> None:
        for message in messages:
            count = len(message.items)
            self.handled += count
            self._metrics.handled(message.event_type, count)
            self._failures.settle(message.position.stream_seq, stored_at(message.raw.reply))
        await self._holding.acknowledge([message.raw for message in messages])

    async def _isolate(self, message: Message[T], error: Exception) -> None:
        """Run a failing message event by event. At its last failure, move the failing events to the dead letters."""
        culprits = [(0, error)]
        if len(message.items) > 1:
            culprits = []
            for index, item in enumerate(message.items):
                failed = await self._handling.call([item])
                if failed is not None:
                    culprits.append((index, failed))
        too_slow = any(isinstance(failed, TooSlow) for _, failed in culprits)
        last = self._failures.of(message.position.stream_seq) + 1 >= self._max_failures
        if culprits and (not last or (too_slow and not self._handling.works())):
            await self._holding.again(message.raw, message.position)
        else:
            await self._bury(message, culprits)

    async def _bury(self, message: Message[T], culprits: Sequence[tuple[int, Exception]]) -> None:
        """Move the failing events of a message, by their index, to the dead letters; the others count as handled."""
        try:
            for index, failed in culprits:
                await self._dead_letters.bury(message.raw, index, failed)
        except (BusUnavailable, BusError) as away:
            log.warning("dead_letter.not_sent", consumer=self._durable, error=str(away))
            await self._holding.again(message.raw, message.position)
            return
        await self._settle([message])
