"""Calling a consumer's handler with a batch: in the batch's trace context, and again while a server is away.

Not here: what becomes of a message whose handler failed (`shared.bus.consumer`).
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import structlog
from nats.aio.msg import Msg

from shared.bus.metrics import ConsumerMetrics
from shared.bus.pull import Position
from shared.errors import BusUnavailable, TooSlow, Unavailable
from shared.telemetry import TRACEPARENT, common, continued

RETRY_FIRST_WAIT: Final = 0.05
RETRY_LONGEST_WAIT: Final = 1.0
TOO_SLOW_AT_MOST: Final = 3
"""Times in a row that the handler may be too slow before the events themselves are held to be the cause."""
WORKS_WITHIN: Final = 300.0
"""Seconds: longer than the tries of one delivery of an event that is too slow, shorter than those of all of them."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Message(Generic[T]):
    """A decoded message with its place in the stream."""

    raw: Msg
    position: Position
    event_type: str
    items: Sequence[T]


class Stopping(Exception):
    """The consumer is to stop while its handler waits for a server that is away."""


class Handling(Generic[T]):
    """The handler of one consumer. `pause(seconds)` sleeps, and returns True when the consumer is to stop."""

    def __init__(
        self,
        handler: Callable[[list[T]], Awaitable[None]],
        *,
        durable: str,
        metrics: ConsumerMetrics,
        pause: Callable[[float], Awaitable[bool]],
    ) -> None:
        self._handler = handler
        self._durable = durable
        self._metrics = metrics
        self._pause = pause
        self._worked_at = float("-inf")
        self.took = 0.0
        """Seconds of the last call that succeeded; waiting for a server does not count."""

    async def attempt(self, messages: Sequence[Message[T]]) -> Exception | None:
        """Call the handler with all events of these messages. Returns the error that it raised, if any.

        Raises Stopping when the consumer is to stop meanwhile.
        """
        items = [item for message in messages for item in message.items]
        if not items:
            return None
        self._metrics.batch_size.observe(len(items))
        with _trace_context(messages):
            return await self.call(items)

    async def call(self, items: list[T]) -> Exception | None:
        """Call the handler with these events, repeatedly while a server is away. Returns and raises as `attempt`."""
        wait, too_slow = RETRY_FIRST_WAIT, 0
        while True:
            started = time.perf_counter()
            try:
                await self._handler(items)
                self.took = time.perf_counter() - started
                self._worked_at = time.monotonic()
                return None
            except (Unavailable, BusUnavailable) as error:
                too_slow = too_slow + 1 if isinstance(error, TooSlow) else 0
                if too_slow == TOO_SLOW_AT_MOST:
                    self._metrics.handler_failures.inc()
                    return error
                self._metrics.handler_waits.inc()
                log.warning("consumer.handler_waits", consumer=self._durable, events=len(items), error=str(error))
            except Exception as error:  # noqa: BLE001  # the caller judges it
                self._metrics.handler_failures.inc()
                return error
            finally:
                self._metrics.handler_seconds.observe(time.perf_counter() - started)
            if await self._pause(wait):
                raise Stopping
            wait = min(wait * 1.6, RETRY_LONGEST_WAIT)

    def works(self) -> bool:
        """Whether the handler took something lately. If not, an event that is too slow is not to blame: a locked table,
        for example, makes every event too slow.
        """
        return time.monotonic() - self._worked_at < WORKS_WITHIN


def trace_of(messages: Sequence[Message[T]]) -> str | None:
    """The trace context that all messages of a batch share, or None."""
    return common([(message.raw.headers or {}).get(TRACEPARENT) for message in messages])


def _trace_context(messages: Sequence[Message[T]]) -> AbstractContextManager[None]:
    """Run the handler in the batch's trace context; a batch of several traces has none, and its events carry theirs."""
    traceparent = trace_of(messages)
    return nullcontext() if traceparent is None else continued(traceparent)
