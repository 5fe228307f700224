"""The connection to NATS: connects within a deadline, reconnects for ever, and carries raw messages.

Here: connecting and reconnecting, the listeners to both, core publish/subscribe/request, and requests to the
JetStream API. Not here: acknowledged publishing (`shared.bus.publish`), streams and consumers
(`shared.bus.declare`), pulling (`shared.bus.pull`).
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
import structlog
from nats import errors as nats_errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as RawSubscription

from shared.bus.admission import Admission, Refusals, not_admitted, not_permitted
from shared.bus.errors import BusError, TooLarge
from shared.bus.metrics import BusMetrics
from shared.bus.wire import WireClient, publish_lines, repeated_lines
from shared.errors import BusUnavailable, ConfigError, NotPermitted, Unavailable

log = structlog.get_logger(__name__)

RECONNECT_WAIT: Final = 0.25
"""Seconds between attempts to connect."""
WAITING_TOLD: Final = 10.0
"""Least seconds between two log lines about a server that is still unavailable."""
PING_INTERVAL: Final = 10
"""Seconds. After two unanswered pings the server counts as hung, and the client reconnects."""
OUTBOUND_BYTES: Final = 16 << 20
PENDING_MESSAGES: Final = 64 * 1024
PENDING_BYTES: Final = 64 << 20
"""Messages and bytes that one core subscription buffers for its callback; more are dropped and counted."""

WRITE_BYTES: Final = 256 * 1024
"""`publish_all` collects messages into writes of about this size."""

CA: Final = "HODEI_NATS_CA"
STATUS: Final = "Status"
DESCRIPTION: Final = "Description"
NO_RESPONDERS: Final = "503"

T = TypeVar("T")
Listener = Callable[[bool], None]
RawCallback = Callable[[Msg], Awaitable[None]]


class _NotAtEof(logging.Filter):
    """Leaves out a warning about each TLS connection that the server closed: nats-py's protocol keeps the default of
    plain text, which TLS ignores. `bus.disconnected` tells of it."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("returning true from eof_received()")


_NOT_AT_EOF: Final = _NotAtEof()


class Connection:
    """One connection to a NATS server or cluster (`url` may name several servers, separated by commas).

    It uses TLS only if one of them is `tls://…`, or with a `ca`: the file of the authority that signed the servers'
    certificates. `admission` has this user's credentials, for servers that ask for them, and `inbox` is the beginning
    of its inboxes.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        start_deadline: float,
        metrics: BusMetrics,
        ca: Path | None = None,
        admission: Admission | None = None,
        inbox: str = "_INBOX",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.metrics = metrics
        self._clock = clock
        self._servers = [part.strip() for part in url.split(",") if part.strip()]
        self._name = name
        self._start_deadline = start_deadline
        self._ca = ca
        self._nc = WireClient(
            tls=ca is not None or any(server.startswith("tls://") for server in self._servers),
            ca=ca,
        )
        self._admission = admission or Admission(None)
        self._inbox = inbox
        self._listeners: list[Listener] = []
        self.refusals = Refusals()
        self._last_error = ""
        self._away_told_at = float("-inf")
        self._stopping = False
        self._started = False

    @property
    def connected(self) -> bool:
        return self._started and self._nc.is_connected

    @property
    def max_payload(self) -> int:
        """The largest message that the server takes, in bytes."""
        return self._nc.max_payload

    async def start(self) -> None:
        """Connect. Raises Unavailable when no server answers or admits this user within the start deadline, and
        ConfigError when the `ca` or the credentials are not usable."""
        if self._ca:
            self._check_ca()
        logging.getLogger("asyncio").addFilter(_NOT_AT_EOF)
        self._admission.check()
        try:
            async with asyncio.timeout(self._start_deadline):
                await self._nc.connect(
                    servers=self._servers,
                    name=self._name,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_WAIT,  # type: ignore[arg-type]  # said to be int, is seconds
                    connect_timeout=2,
                    ping_interval=PING_INTERVAL,
                    max_outstanding_pings=2,
                    pending_size=OUTBOUND_BYTES,
                    inbox_prefix=self._inbox,
                    user_jwt_cb=self._admission.jwt,
                    signature_cb=self._admission.sign,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnected,
                    reconnected_cb=self._on_reconnected,
                    closed_cb=self._on_closed,
                )
        except TimeoutError:
            self._stopping = True
            await self._nc.close()
            why = self._admission.hint(f"{self._last_error or 'no answer'}, tried for {self._start_deadline:g} s")
            raise Unavailable(f"NATS at {self._addresses()} ({why})") from None
        except nats_errors.Error as error:
            raise Unavailable(f"NATS at {self._addresses()} ({error})") from error
        self._started = True
        self._last_error = ""
        self.metrics.connected.set(1)
        log.info("bus.connected", url=self._url())

    def _check_ca(self) -> None:
        try:
            _ = self._nc.ssl_context
        except ssl.SSLError as error:  # an OSError, too
            raise ConfigError(f"{CA}={self._ca}: should be certificates in PEM format") from error
        except OSError as error:
            raise ConfigError(f"{CA}={self._ca}: {error.strerror}") from error

    async def stop(self) -> None:
        """Flush pending messages, then close. Subscribers unsubscribe first."""
        self._stopping = True
        if not self._started:
            return
        if self._nc.is_connected:
            try:
                await self._nc.flush(timeout=2)
            except nats_errors.Error as error:
                log.warning("bus.not_flushed", error=str(error) or repr(error))
        await self._nc.close()
        self.metrics.connected.set(0)

    async def reconnect(self) -> None:
        """Give up the connection and make a new one, with the credentials that there are now. Does nothing while
        disconnected. What was sent before goes out first; core messages that arrive in between are lost.
        """
        await self._nc.force_reconnect()

    def on_change(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(connected)` at each disconnect and reconnect. Returns a function that removes the listener."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    async def publish(
        self, subject: str, payload: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a core message. Raises BusUnavailable while disconnected, so that no stale message is sent later."""
        if not self.connected:
            raise BusUnavailable("not connected to NATS")
        if self.publish_now(subject, payload, reply=reply, headers=headers):
            await asyncio.sleep(0)  # the transport sends when this turn of the event loop ends
        else:
            await self.post(subject, payload, reply=reply, headers=headers)

    def publish_now(
        self, subject: str, payload: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> bool:
        """Write a core message in this turn of the event loop. Returns False, and sends nothing, if it would overtake
        an earlier message; the caller then uses `publish`. Raises BusError for a message that cannot be sent at all.
        """
        if not self.connected or not self._nc.writes_now:
            return False
        return self._nc.write_now(publish_lines(subject, payload, headers or {}, reply=reply, limit=self.max_payload))

    async def post(
        self, subject: str, payload: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """As `publish`, but while disconnected the message is queued (up to OUTBOUND_BYTES) until reconnection."""
        try:
            await self._nc.publish(subject, payload, reply=reply, headers=dict(headers) if headers else None)
        except nats_errors.MaxPayloadError as error:
            raise TooLarge(subject, f"{len(payload)} bytes is more than the server's max_payload") from error
        except nats_errors.Error as error:
            raise BusUnavailable(f"{subject}: {error}") from error

    async def publish_all(self, messages: Iterable[tuple[str, bytes, Mapping[str, str]]]) -> None:
        """Send many core messages (subject, payload, headers), in order. Raises BusUnavailable while disconnected,
        and BusError for a message that cannot be sent; messages before it may have been sent.

        The messages go out as a few large writes.
        """
        if not self.connected:
            raise BusUnavailable("not connected to NATS")
        commands: list[bytes] = []
        size = 0
        for subject, payload, headers in messages:
            commands.append(publish_lines(subject, payload, headers, limit=self.max_payload))
            size += len(commands[-1])
            if size >= WRITE_BYTES:
                await self._nc.write(b"".join(commands))
                commands, size = [], 0
        if commands:
            await self._nc.write(b"".join(commands))

    async def post_all(self, subjects: Iterable[str], payload: bytes) -> None:
        """Send the same short payload to many subjects in one write: a batch's acknowledgements.

        While disconnected they are queued until reconnection. The queue needs no limit: there are never more
        acknowledgements than messages that the server had delivered.
        """
        if self._nc.is_closed:
            raise BusUnavailable("the connection to NATS is closed")
        await self._nc.write(repeated_lines(subjects, payload))

    async def request(self, subject: str, payload: bytes, *, deadline: float) -> bytes:
        """Send and wait for the payload of one answer. Raises as `ask` does."""
        return (await self.ask(subject, payload, deadline=deadline)).data

    async def ask(self, subject: str, payload: bytes, *, deadline: float) -> Msg:
        """Send and wait for one answer. Raises BusUnavailable when none comes within `deadline` seconds, and
        NotPermitted when this user may not send it."""
        if not self.connected:
            raise BusUnavailable("not connected to NATS")
        try:
            return await self._unless_broken(self._nc.request(subject, payload, timeout=deadline), subject)
        except nats_errors.NoRespondersError as error:
            raise BusUnavailable(f"{subject}: no service answers") from error
        except nats_errors.TimeoutError as error:
            raise BusUnavailable(f"{subject}: no answer within {deadline:g} s") from error
        except nats_errors.Error as error:
            raise BusUnavailable(f"{subject}: {error}") from error

    async def api(self, operation: str, body: Mapping[str, object], *, deadline: float = 5.0) -> dict[str, Any]:
        """Call the JetStream API (`STREAM.CREATE.x`). Returns its response. Raises BusError when it refuses,
        BusUnavailable when it does not answer.
        """
        answer: dict[str, Any] = orjson.loads(
            await self.request(f"$JS.API.{operation}", orjson.dumps(body), deadline=deadline)
        )
        error = answer.get("error")
        if error:
            if error.get("code") == 503:
                raise BusUnavailable(f"{operation}: {error.get('description')}")
            raise BusError(operation, str(error.get("description")), int(error.get("err_code", 0)))
        return answer

    async def subscribe(self, subject: str, callback: RawCallback, *, queue: str = "") -> RawSubscription:
        """Subscribe to a core subject. The subscription outlives reconnects."""
        try:
            return await self._nc.subscribe(
                subject,
                queue=queue,
                cb=callback,
                pending_msgs_limit=PENDING_MESSAGES,
                pending_bytes_limit=PENDING_BYTES,
            )
        except nats_errors.Error as error:
            raise BusUnavailable(f"{subject}: {error}") from error

    async def flush(self, deadline: float = 5.0) -> None:
        """Wait until the server has received everything sent so far. Raises BusUnavailable."""
        if not self.connected or self._nc.deaf:
            raise BusUnavailable("not connected to NATS")
        try:
            await self._unless_broken(
                self._nc.flush(timeout=deadline)  # type: ignore[arg-type]  # annotated int, used as seconds
            )
        except nats_errors.Error as error:
            raise BusUnavailable(f"flush: {error or repr(error)}") from error

    async def _unless_broken(self, question: Coroutine[Any, Any, T], subject: str = "") -> T:
        """Await an answer. Raises BusUnavailable as soon as the connection breaks, and NotPermitted when NATS refuses
        the publish to `subject`, because no answer can come then."""
        asking = asyncio.ensure_future(question)
        broken: asyncio.Future[BusUnavailable] = asyncio.get_running_loop().create_future()

        def note(_connected: bool) -> None:
            if not broken.done():
                broken.set_result(BusUnavailable("disconnected from NATS"))

        def note_refusal(refused: str) -> None:
            if refused == subject.lower() and not broken.done():
                broken.set_result(not_permitted(subject))

        forget = self.on_change(note)
        forget_refusals = self.refusals.listen(note_refusal)
        either: set[asyncio.Future[Any]] = {asking, broken}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise broken.result()
            return asking.result()
        finally:
            forget()
            forget_refusals()
            broken.cancel()
            asking.cancel()

    async def release(self, subscription: RawSubscription, *, deadline: float = 2.0) -> None:
        """End a subscription, after its callback has handled the messages that the server had already sent."""
        try:
            if self.connected:
                async with asyncio.timeout(deadline):
                    await subscription.drain()  # type: ignore[no-untyped-call]  # nats-py left it so
            else:
                await subscription.unsubscribe()
        except (nats_errors.Error, TimeoutError) as error:
            log.debug("bus.subscription_unclean", subject=subscription.subject, error=repr(error))

    def new_inbox(self) -> str:
        return self._nc.new_inbox()

    def _addresses(self) -> str:
        """The addresses of the configured servers, without passwords."""
        return ", ".join(server.rpartition("@")[2].rpartition("://")[2] for server in self._servers)

    def _url(self) -> str:
        url = self._nc.connected_url
        return f"{url.hostname}:{url.port}" if url else "nowhere"

    def _tell(self, connected: bool) -> None:
        self.metrics.connected.set(int(connected))
        for listener in list(self._listeners):
            listener(connected)

    async def _on_error(self, error: Exception) -> None:
        if self.refusals.take(error):
            self.metrics.errors.labels(NotPermitted.__name__).inc()
            return
        before, self._last_error = self._last_error, self._why(error)
        self.metrics.errors.labels(type(error).__name__).inc()
        if self._started and not self._stopping:
            # While the server is unavailable each attempt fails alike: warn once, and count each time.
            level = log.debug if self._last_error == before and not self.connected else log.warning
            level("bus.client_error", error=self._last_error, error_type=type(error).__name__)
        if not self.connected and not self._stopping:
            self._tell_waiting()

    def _why(self, error: Exception) -> str:
        """A server that does not admit this process says so and closes at once. The reset may overtake what it says:
        then the reason is that of the attempt before."""
        if isinstance(error, ConnectionResetError) and not_admitted(self._last_error):
            return self._last_error
        return str(error) or type(error).__name__

    def _tell_waiting(self) -> None:
        now = self._clock()
        if now - self._away_told_at >= WAITING_TOLD:
            self._away_told_at = now
            log.info("bus.waiting", url=self._addresses(), error=self._admission.hint(self._last_error))

    async def _on_disconnected(self) -> None:
        if self._stopping or not self._started:
            return
        self._away_told_at = self._clock()
        log.warning("bus.disconnected", error=self._last_error)
        self._tell(False)

    async def _on_reconnected(self) -> None:
        self._last_error = ""
        self.metrics.reconnects.inc()
        log.info("bus.reconnected", url=self._url())
        self._tell(True)

    async def _on_closed(self) -> None:
        if self._started and not self._stopping:
            log.error("bus.closed", error=str(self._nc.last_error))
            self._tell(False)
