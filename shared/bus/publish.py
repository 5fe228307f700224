"""Publishing to JetStream: many messages in flight, each waiting for its own acknowledgement.

Here: one inbox for all acknowledgements, and the deadline. Not here: retries; the caller makes them, with the same
message id, so that the stream drops duplicates.
Why not nats-py's own: its `publish_async` futures never time out, and `publish` reaches half the throughput.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

import orjson
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as RawSubscription

from shared.bus.admission import not_permitted
from shared.bus.connection import NO_RESPONDERS, STATUS, Connection
from shared.bus.errors import BusError, TooLarge
from shared.errors import BusUnavailable, NotPermitted

log = structlog.get_logger(__name__)

MSG_ID: Final = "Nats-Msg-Id"
_STREAM_TAKES_LESS: Final = 10054
"""JetStream's code for a message over the stream's own size limit."""
DEADLINE: Final = 5.0
"""Seconds after which a publish without an acknowledgement has failed."""


@dataclass(frozen=True, slots=True)
class _Message:
    subject: str
    payload: bytes
    headers: Mapping[str, str]


@dataclass(slots=True)
class _Attempt:
    """One message in flight, and the token that its acknowledgement carries."""

    token: str
    subject: str
    answer: asyncio.Future[Msg]
    sent: bool = False
    refused: BusError | None = None


class Publisher:
    """Publishes with acknowledgement. Calls `declare` when no stream takes a subject: the streams were deleted."""

    def __init__(self, connection: Connection, declare: Callable[[], Awaitable[None]]) -> None:
        self._connection = connection
        self._declare = declare
        self._waiting: dict[str, _Attempt] = {}
        self._tokens = itertools.count()
        self._inbox = ""
        self._subscription: RawSubscription | None = None
        self._forget: list[Callable[[], None]] = []
        self._problem: str | None = None
        self._tried = float("-inf")

    @property
    def problem(self) -> str | None:
        """Why the last message was not stored while connected; None if it was stored."""
        return self._problem

    @property
    def quiet(self) -> float:
        """Seconds since the last publish that succeeded, or failed while connected."""
        return perf_counter() - self._tried

    async def start(self) -> None:
        self._inbox = self._connection.new_inbox()
        self._subscription = await self._connection.subscribe(f"{self._inbox}.*", self._on_ack)
        self._forget = [
            self._connection.on_change(self._on_change),
            self._connection.refusals.listen(self._on_not_permitted),
        ]

    async def stop(self) -> None:
        for forget in self._forget:
            forget()
        self._on_change(False)
        if self._subscription is not None:
            await self._connection.release(self._subscription)

    def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        msg_id: str,
        headers: Mapping[str, str] | None = None,
        deadline: float = DEADLINE,
    ) -> Coroutine[Any, Any, None]:
        """Send the message, where possible before this returns. Await the result: it completes once a stream has stored
        the message (or had already stored one with this `msg_id` within its duplicate window).

        Awaiting raises BusUnavailable while disconnected, when the connection breaks, and after `deadline` seconds. The
        message may have been stored then: publish it again with the same `msg_id`. It raises NotPermitted when this
        user may not publish to the subject.
        """
        message = _Message(subject, payload, {MSG_ID: msg_id, **headers} if headers else {MSG_ID: msg_id})
        return self._stored(message, self._begin(message), perf_counter(), deadline)

    async def _stored(self, message: _Message, attempt: _Attempt, started: float, deadline: float) -> None:
        metrics = self._connection.metrics
        try:
            async with asyncio.timeout(deadline):
                while not await self._finish(message, attempt):
                    await self._declare()
                    attempt = self._begin(message)
        except TimeoutError:
            metrics.publish_failures.inc()
            self._note(f"not acknowledged within {deadline:g} s")
            raise BusUnavailable(f"{message.subject}: not acknowledged within {deadline:g} s") from None
        except NotPermitted:  # NATS stores what it lets this user publish
            metrics.publish_failures.inc()
            raise
        except BusUnavailable as error:
            metrics.publish_failures.inc()
            self._note(str(error))
            raise
        self._note(None)
        metrics.published.inc()
        metrics.publish_seconds.observe(perf_counter() - started)

    def _begin(self, message: _Message) -> _Attempt:
        token = f"{next(self._tokens):x}"
        attempt = _Attempt(token, message.subject, asyncio.get_running_loop().create_future())
        self._waiting[token] = attempt
        try:
            attempt.sent = self._connection.publish_now(
                message.subject, message.payload, reply=f"{self._inbox}.{token}", headers=message.headers
            )
        except BusError as error:
            attempt.refused = error
        return attempt

    async def _finish(self, message: _Message, attempt: _Attempt) -> bool:
        """Returns True if a stream stored the message, False if no stream takes its subject."""
        try:
            if attempt.refused is not None:
                raise attempt.refused
            if not attempt.sent:
                await self._connection.publish(
                    message.subject, message.payload, reply=f"{self._inbox}.{attempt.token}", headers=message.headers
                )
            answer = await attempt.answer
        finally:
            del self._waiting[attempt.token]
        if answer.headers and answer.headers.get(STATUS) == NO_RESPONDERS:
            return False
        if b'"error"' in answer.data:
            error = orjson.loads(answer.data).get("error", {})
            if error.get("err_code") == _STREAM_TAKES_LESS:
                raise TooLarge(message.subject, str(error.get("description")), _STREAM_TAKES_LESS)
            raise BusUnavailable(f"{message.subject}: {error.get('description')}")
        return True

    def _note(self, problem: str | None) -> None:
        if problem is not None and not self._connection.connected:
            return  # `connected` shows this problem already
        before, self._problem, self._tried = self._problem, problem, perf_counter()
        if problem is not None and before is None:
            log.warning("bus.stores_nothing", error=problem)
        elif problem is None and before is not None:
            log.info("bus.stores_again")

    async def _on_ack(self, message: Msg) -> None:
        attempt = self._waiting.get(message.subject[len(self._inbox) + 1 :])
        if attempt is not None and not attempt.answer.done():
            attempt.answer.set_result(message)

    def _on_not_permitted(self, subject: str) -> None:
        """Fail the messages in flight to this subject, which is in lower case: they are not acknowledged."""
        for attempt in self._waiting.values():
            if attempt.subject.lower() == subject and not attempt.answer.done():
                attempt.answer.set_exception(not_permitted(attempt.subject))

    def _on_change(self, connected: bool) -> None:
        """Fail the messages in flight: their acknowledgements cannot arrive after a disconnect."""
        if connected:
            return
        self._problem = None
        for attempt in self._waiting.values():
            if not attempt.answer.done():
                attempt.answer.set_exception(BusUnavailable("disconnected from NATS"))
