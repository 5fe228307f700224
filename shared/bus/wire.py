"""The NATS protocol where nats-py's public methods do not suffice: the only module that uses private parts of nats-py
or writes protocol lines itself.

Each part names the version of nats-py that needs it, and the change in nats-py that would make it unnecessary. The
tests of this module play the server, and show each fault on nats-py's own client.
"""

import asyncio
import ssl
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import structlog
from nats import errors as nats_errors
from nats.aio.client import Client
from nats.aio.transport import TcpTransport

from shared.bus.errors import BusError, TooLarge
from shared.errors import BusUnavailable

log = structlog.get_logger(__name__)

ENDED: Final = frozenset(
    f"{whose} authentication {how}" for whose in ("user", "account") for how in ("expired", "revoked")
)
"""The errors with which a server ends the connection of a user whose credentials are no longer good."""

KEPT_OPEN: Final = (
    "permissions violation",
    "invalid subject",
    "invalid publish subject",
    "maximum subscriptions exceeded",
)
"""How the errors begin after which a server keeps the connection open."""


class CredentialsEnded(nats_errors.Error):
    """The server closed the connection because the user's credentials expired or were `revoked`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.revoked = reason.endswith("revoked")


class WireClient(Client):
    """nats-py's client with six changes: it recovers from two faults after which nats-py stops reading, it connects
    again after each error of the server, it closes connections to which it is not admitted, it insists on TLS, it can
    be closed while it reconnects, and it sends ready-made protocol lines.

    With `tls`, it speaks to servers by TLS only. `ca` is the file of the authority that has signed the servers'
    certificates, by default those that the system trusts.
    """

    def __init__(self, *, tls: bool = False, ca: Path | None = None) -> None:
        super().__init__()
        self._tls = tls
        self._ca = ca

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """As nats-py's, but read from the file at each connect, so that a new authority needs no restart. Raises
        OSError."""
        return ssl.create_default_context(cafile=self._ca)

    async def close(self) -> None:
        """As nats-py's, but it raises CancelledError only if the current task is cancelled.

        nats-py 2.16: it cancels its task that reconnects. That cancels the future for which the task waits, the end of
        a socket, and `close` may wait for the same one. Can go when nats-py shields that.
        """
        try:
            await super().close()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """As nats-py's, but a connection that should use TLS uses it, or fails, and `max_payload` is that of the
        newest INFO.

        nats-py 2.16: it speaks plain text, even to `tls://`, to a server that does not say that it requires TLS, as
        whoever stands between the two can make it look; and it reads `max_payload` only when it connects. Can go when
        nats-py refuses the first, and reads that from each INFO.
        """
        if self._tls and initial_connection:
            if not (info.get("tls_required") or info.get("tls_available")):
                raise nats_errors.SecureConnWantedError
            info["tls_required"] = True
        await super()._process_info(info, initial_connection)
        limit = info.get("max_payload")
        if isinstance(limit, int):
            self._max_payload = limit

    async def _process_connect_init(self) -> None:
        """As nats-py's, but closes the connection when the server does not admit this user.

        nats-py 2.16: it stays open, without an owner, for each of the attempts that follow. Can go when nats-py closes
        it.
        """
        try:
            await super()._process_connect_init()
        except Exception:
            if self._transport is not None:
                self._transport.close()  # type: ignore[no-untyped-call]  # nats-py left it so
            raise

    async def _process_err(self, err_msg: str) -> None:
        """As nats-py's, but reconnects after each error with which the server closes the connection, with whatever
        credentials there are then. The error callback gets the error, as CredentialsEnded if it is about those.

        nats-py 2.16: the client closes for ever. Can go when nats-py reconnects after every error, as the Go client
        does.
        """
        reason = err_msg.strip("'").lower()
        error = CredentialsEnded(reason) if reason in ENDED else nats_errors.Error(f"nats: {reason}")
        await self._error_cb(error)
        if reason.startswith(KEPT_OPEN):
            return
        if self._current_server is not None:
            self._current_server.last_attempt = time.monotonic()  # nats-py then waits before it tries this one again
        await self._process_op_err(error)

    @property
    def deaf(self) -> bool:
        """Whether the client is not reading from the connection.

        nats-py 2.16: `flush` then returns at once, without an answer. Can go together with `_read_loop` below.
        """
        return self._reading_task is None or self._reading_task.done()

    async def _process_pong(self) -> None:
        """As nats-py's, which raises for the answer to a `flush` that was cancelled or timed out.

        nats-py 2.16: it sets the result of the cancelled future, and InvalidStateError ends the loop that reads. Can go
        when nats-py asks the future whether it is done.
        """
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def _read_loop(self) -> None:
        """As nats-py's, but reconnects when the loop ends while the connection is still open.

        nats-py 2.16: an unexpected error ends the loop with a log line. The client then counts as connected but
        receives nothing, until two pings have gone unanswered some twenty seconds later. Can go when nats-py reconnects
        after every such error.
        """
        await super()._read_loop()
        task = asyncio.current_task()
        if self.is_connected and not (task is not None and task.cancelling()):
            log.warning("bus.reader_ended")
            await self._process_op_err(nats_errors.UnexpectedEOF())

    @property
    def writes_now(self) -> bool:
        """Whether `write_now` is possible: the connection is plain TCP, and nats-py's queue is empty."""
        return self.is_connected and isinstance(self._transport, TcpTransport) and not self._pending

    def write_now(self, lines: bytes) -> bool:
        """Write protocol lines in this turn of the event loop. Returns False, with nothing written, if the connection
        has just been closed. Call it only while `writes_now`.

        nats-py 2.16: `publish` leaves the writing to another task, two turns of the loop later, which is long when many
        tasks are ready. Can go when nats-py writes to an idle connection at once.
        """
        assert self._transport is not None  # `writes_now`
        try:
            self._transport.write(lines)
        except (RuntimeError, OSError):  # the connection was closed, and nats-py has not noticed yet
            return False
        return True

    async def write(self, lines: bytes) -> None:
        """Write protocol lines behind nats-py's queue. While disconnected they are kept until reconnection. Raises
        BusUnavailable.

        nats-py 2.16: `publish` takes one message at a time and three times as long for each, mostly to check headers.
        Can go when nats-py publishes many messages in one call.
        """
        try:
            await self._send_command(lines)
            await self._flush_pending()
        except nats_errors.Error as error:
            raise BusUnavailable(f"publishing many messages: {error}") from error


def publish_lines(subject: str, payload: bytes, headers: Mapping[str, str], *, reply: str = "", limit: int) -> bytes:
    """One PUB or HPUB of the NATS protocol. Raises BusError for a subject or header that would break the protocol line,
    and for a message so large that the server would close the connection.
    """
    if subject.split() != [subject]:
        raise BusError(repr(subject), "is not a subject")
    lines = ["NATS/1.0"] if headers else []
    for name, value in headers.items():
        if "\n" in value or "\r" in value:
            raise BusError(subject, f"the header {name} contains a line break")
        lines.append(f"{name}: {value}")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode() if headers else b""
    size = len(head) + len(payload)
    if size > limit:
        raise TooLarge(subject, f"{size} bytes is more than the server's max_payload")
    address = f"{subject} {reply}" if reply else subject
    if not headers:
        return b"PUB %b %d\r\n%b\r\n" % (address.encode(), size, payload)
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (address.encode(), len(head), size, head, payload)


def repeated_lines(subjects: Iterable[str], payload: bytes) -> bytes:
    """A PUB of the same short payload to each subject. The subjects come from the server, so they are not checked."""
    rest = b" %d\r\n%b\r\n" % (len(payload), payload)
    return b"".join([b"PUB " + subject.encode() + rest for subject in subjects])
