"""Publishing to JetStream: many messages in flight, each waiting for its own acknowledgement.

Here: one inbox for all acknowledgements, and the deadline. Not here: retrying (the caller's, with the same
message id, so that the stream drops what it already has).
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

from shared.bus.connection import NO_RESPONDERS, STATUS, Connection
from shared.bus.errors import BusError, TooLarge
from shared.errors import BusUnavailable

log = structlog.get_logger(__name__)

MSG_ID: Final = "Nats-Msg-Id"
_STREAM_TAKES_LESS: Final = 10054
"""JetStream's code for a message over a limit that somebody has set on the stream."""
DEADLINE: Final = 5.0
"""Seconds until a publish without an acknowledgement has failed."""


@dataclass(frozen=True, slots=True)
class _Message:
    subject: str
    payload: bytes
    headers: Mapping[str, str]


@dataclass(slots=True)
class _Attempt:
    """One message on its way, under the token that its answer will bear."""

    token: str
    answer: asyncio.Future[Msg]
    sent: bool = False
    refused: BusError | None = None


class Publisher:
    """Publishes with acknowledgement. `declare` is called when no stream listens to a subject (they were
    deleted).
    """

    def __init__(self, connection: Connection, declare: Callable[[], Awaitable[None]]) -> None:
        self._connection = connection
        self._declare = declare
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._tokens = itertools.count()
        self._inbox = ""
        self._subscription: RawSubscription | None = None
        self._forget: Callable[[], None] = lambda: None
        self._problem: str | None = None
        self._tried = float("-inf")

    @property
    def problem(self) -> str | None:
        """Why the last message was not stored although there is a connection; None when it was."""
        return self._problem

    @property
    def quiet(self) -> float:
        """Seconds since it was last seen whether messages are stored."""
        return perf_counter() - self._tried

    async def start(self) -> None:
        self._inbox = self._connection.new_inbox()
        self._subscription = await self._connection.subscribe(f"{self._inbox}.*", self._on_ack)
        self._forget = self._connection.on_change(self._on_change)

    async def stop(self) -> None:
        self._forget()
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
        """Put the message on the wire, where possible before this returns. What is returned is to be awaited: it ends
        once a stream has stored the message (or had it already: same `msg_id` within its window).

        It raises BusUnavailable at once while disconnected or when the connection breaks, and after `deadline`
        seconds; the message may then have been stored or not: publish it again with the same `msg_id`.
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
        except BusUnavailable as error:
            metrics.publish_failures.inc()
            self._note(str(error))
            raise
        self._note(None)
        metrics.published.inc()
        metrics.publish_seconds.observe(perf_counter() - started)

    def _begin(self, message: _Message) -> _Attempt:
        token = f"{next(self._tokens):x}"
        attempt = _Attempt(token, asyncio.get_running_loop().create_future())
        self._waiting[token] = attempt.answer
        try:
            attempt.sent = self._connection.publish_now(
                message.subject, message.payload, reply=f"{self._inbox}.{token}", headers=message.headers
            )
        except BusError as error:
            attempt.refused = error
        return attempt

    async def _finish(self, message: _Message, attempt: _Attempt) -> bool:
        """True: stored. False: no stream takes this subject."""
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
            return  # that is a problem of its own
        before, self._problem, self._tried = self._problem, problem, perf_counter()
        if problem is not None and before is None:
            log.warning("bus.stores_nothing", error=problem)
        elif problem is None and before is not None:
            log.info("bus.stores_again")

    async def _on_ack(self, message: Msg) -> None:
        future = self._waiting.get(message.subject[len(self._inbox) + 1 :])
        if future is not None and not future.done():
            future.set_result(message)

    def _on_change(self, connected: bool) -> None:
        """The acknowledgements of what was in flight will not come any more."""
        if connected:
            return
        self._problem = None
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(BusUnavailable("disconnected from NATS"))
