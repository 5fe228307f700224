"""Calls a consumer's handler with a batch, in the batch's trace context, and retries while a server is unavailable.

Not here: what the consumer does with a message after a failure (`shared.bus.settling`).
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
"""After so many TooSlow errors in a row, the events themselves count as the cause."""
WORKS_WITHIN: Final = 300.0
"""Seconds: longer than the tries of one delivery of a too slow event, shorter than the tries of all its deliveries."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Message(Generic[T]):
    """A decoded message with its position in the stream."""

    raw: Msg
    position: Position
    event_type: str
    items: Sequence[T]


class Stopping(Exception):
    """The consumer was stopped while its handler waited for an unavailable server."""


class Handling(Generic[T]):
    """The handler of one consumer. `pause(seconds)` sleeps, and returns True when the consumer must stop."""

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
        """Duration of the last successful call in seconds, without waits for a server."""

    async def attempt(self, messages: Sequence[Message[T]]) -> Exception | None:
        """Call the handler with all events of these messages. Returns the error that it raised, if any.

        Raises Stopping when the consumer must stop meanwhile.
        """
        items = [item for message in messages for item in message.items]
        if not items:
            return None
        self._metrics.batch_size.observe(len(items))
        with _trace_context(messages):
            return await self.call(items)

    async def call(self, items: list[T]) -> Exception | None:
        """Call the handler with these events, and retry while a server is unavailable. Returns and raises as
        `attempt`."""
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
        """Whether the handler succeeded within WORKS_WITHIN. If it did not, too slow events are not the cause: a locked
        table, for example, makes every event too slow.
        """
        return time.monotonic() - self._worked_at < WORKS_WITHIN


def trace_of(messages: Sequence[Message[T]]) -> str | None:
    """The trace context that all messages of a batch share, or None."""
    return common([(message.raw.headers or {}).get(TRACEPARENT) for message in messages])


def _trace_context(messages: Sequence[Message[T]]) -> AbstractContextManager[None]:
    """The batch's trace context. A batch of several traces has none; each of its events carries its own."""
    traceparent = trace_of(messages)
    return nullcontext() if traceparent is None else continued(traceparent)
