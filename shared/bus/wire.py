"""The NATS protocol where nats-py's public methods do not suffice: the only module that uses private parts of nats-py
or writes protocol lines itself.

Each part names the version of nats-py that needs it, and the change in nats-py that would make it unnecessary. The
tests of this module play the server, and show each fault on nats-py's own client.
"""

import asyncio
from collections.abc import Iterable, Mapping

import structlog
from nats import errors as nats_errors
from nats.aio.client import Client
from nats.aio.transport import TcpTransport

from shared.bus.errors import BusError, TooLarge
from shared.errors import BusUnavailable

log = structlog.get_logger(__name__)


class WireClient(Client):
    """nats-py's client with two changes: it recovers from two faults after which nats-py stops reading, and it sends
    ready-made protocol lines.
    """

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
