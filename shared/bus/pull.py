"""Standing pull requests on a JetStream consumer: one request brings many messages as they come.

Here: an inbox, pull requests renewed when half used, and their repair after disconnects, missed heartbeats or a deleted
consumer. Not here: handling the messages (`shared.bus.consumer`, `shared.bus.logs`). Why not nats-py's `fetch`: it
costs a round trip per call, and loses messages when it is cancelled. The protocol is NATS ADR-37 (pull simplification)
and the headers of JetStream's status messages.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import orjson
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as RawSubscription

from shared.bus.connection import DESCRIPTION, STATUS, Connection
from shared.bus.declare import NANOS
from shared.bus.errors import BusError
from shared.errors import BusUnavailable

log = structlog.get_logger(__name__)

PENDING: Final = "Nats-Pending-Messages"
EXPIRES: Final = 30.0
HEARTBEAT: Final = 2.0
"""Seconds between the server's heartbeats on an idle pull."""
SILENCE: Final = 5.0
"""Seconds without a message or heartbeat after which the pull is renewed."""
FIRST_WAIT: Final = 0.05
LONGEST_WAIT: Final = 2.0
BUFFER_BYTES: Final = 4 << 20
"""Approximate bytes that may be buffered or in flight: fewer messages are requested if they are large."""
LARGE: Final = 512 * 1024
"""Assumed size of a message in bytes before the first has arrived."""

_HEARTBEAT_STATUS: Final = "100"
_ENDED: Final = frozenset({"404", "408"})
_ACK_TOKENS: Final = 9


@dataclass(frozen=True, slots=True)
class Position:
    """The position of a delivered message; numbers count from 1. `pending` messages of the consumer come after it."""

    deliveries: int
    stream_seq: int
    consumer_seq: int
    pending: int

    @classmethod
    def of(cls, reply: str) -> "Position":
        """Read from the acknowledgement subject:
        $JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<numbers…>
        """
        tokens = reply.split(".")
        first = 4 if len(tokens) == _ACK_TOKENS else 6
        return cls(int(tokens[first]), int(tokens[first + 1]), int(tokens[first + 2]), int(tokens[first + 4]))


def stored_at(reply: str) -> float:
    """When the stream stored a delivered message, by the server's clock (a timestamp in seconds)."""
    tokens = reply.split(".")
    return int(tokens[7 if len(tokens) == _ACK_TOKENS else 9]) / NANOS


class Pull:
    """The messages of one consumer, as they come.

    `target` returns the consumer as `<stream>.<consumer>`; a repair may change it. `repair(reason)` makes sure that the
    consumer exists. It may raise BusUnavailable or BusError, and is then called again after a growing pause.
    `renewed(reason)` is called after each renewal. With `fresh`, every renewal begins with a repair, for consumers
    whose position the server does not keep. A request expires after `expires` seconds: for that long the server goes on
    sending to a process that has died or frozen.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        target: Callable[[], str],
        repair: Callable[[str], Awaitable[None]],
        renewed: Callable[[str], None],
        batch: int = 256,
        fresh: bool = False,
        expires: float = EXPIRES,
    ) -> None:
        self.buffer: deque[Msg] = deque()
        self._connection = connection
        self._target = target
        self._repair = repair
        self._renewed = renewed
        self._batch = batch
        self._fresh = fresh
        self._expires = expires
        self._heartbeat = min(HEARTBEAT, 0.45 * expires)  # the server accepts at most half of `expires`
        self._left = 0
        self._size = LARGE
        """Recent size of messages in bytes: it rises at once with a large message and falls slowly with small ones."""
        self._generation = 0
        self._inbox = ""
        self._subscription: RawSubscription | None = None
        self._arrived = asyncio.Event()
        self._trouble = asyncio.Event()
        self._reason = ""
        self._back = asyncio.Event()
        self._last_sign = 0.0
        self._wait = 0.0
        self._closed = False
        self._watcher: asyncio.Task[None] | None = None
        self._forget: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Make the first request; the consumer must exist."""
        self._inbox = self._connection.new_inbox()
        self._subscription = await self._connection.subscribe(f"{self._inbox}.*", self._on_message)
        self._forget = self._connection.on_change(self._on_change)
        self._back.set()
        await self._begin()
        self._watcher = asyncio.create_task(self._watch(), name=f"bus-pull {self._target()}")

    async def close(self) -> None:
        """End the pull without loss: the messages that the server has already sent are in `buffer` afterwards."""
        if self._closed:
            return
        self._closed = True
        self._forget()
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        if self._subscription is not None:
            await self._connection.release(self._subscription)
        self._arrived.set()

    async def ready(self) -> bool:
        """Wait until a message is in the buffer, or until `wake`. Returns False once closed. Cancelling is safe."""
        if not self.buffer and not self._closed:
            self._arrived.clear()
            await self._arrived.wait()
        return not self._closed

    async def more(self, within: float) -> None:
        """Wait for at most `within` seconds until another message arrives, `wake` or `close`."""
        self._arrived.clear()
        if self._closed:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._arrived.wait()

    async def top_up(self) -> None:
        """Request more messages when half of the room is used. The caller does this after taking from the buffer."""
        room = self.room
        if self._left + len(self.buffer) <= room // 2 and not self._trouble.is_set():
            await self._ask(room - self._left - len(self.buffer))

    def wake(self) -> None:
        """End the current wait of `ready`, even if no message has arrived."""
        self._arrived.set()

    def remake(self, reason: str) -> None:
        """Renew the pull, with a repair. The buffer keeps its messages."""
        self._complain(reason)

    async def _begin(self) -> None:
        self._generation += 1
        self._left = 0
        self._last_sign = time.monotonic()
        room = self.room - len(self.buffer)
        if room > 0:
            await self._ask(room)

    @property
    def room(self) -> int:
        """How many messages may be buffered or in flight."""
        return max(2, min(self._batch, BUFFER_BYTES // self._size))

    async def _ask(self, count: int) -> None:
        if self._closed or not self._connection.connected:
            return
        request = {
            "batch": count,
            "expires": int(self._expires * NANOS),
            "idle_heartbeat": int(self._heartbeat * NANOS),
            # Limits the bytes if messages suddenly grow. It must fit the largest message, or no answer would come.
            "max_bytes": BUFFER_BYTES + self._connection.max_payload,
        }
        self._left += count
        try:
            await self._connection.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{self._target()}",
                orjson.dumps(request),
                reply=f"{self._inbox}.{self._generation}",
            )
        except BusUnavailable as error:
            self._complain(str(error))

    async def _on_message(self, message: Msg) -> None:
        headers = message.headers
        if message.reply or not headers or STATUS not in headers:
            self.buffer.append(message)
            self._size = max(len(message.data), self._size * 9 // 10, 1)
            self._left -= 1
            self._last_sign = time.monotonic()
            self._wait = 0.0
            self._arrived.set()
            return
        if message.subject.rpartition(".")[2] == str(self._generation):
            await self._on_status(headers[STATUS], headers.get(DESCRIPTION, ""), headers.get(PENDING, ""))

    async def _on_status(self, status: str, description: str, pending: str) -> None:
        self._last_sign = time.monotonic()
        if status == _HEARTBEAT_STATUS:
            self._wait = 0.0
        elif status in _ENDED or (pending and "deleted" not in description.lower()):
            self._left = max(0, self._left - (int(pending) if pending.isdigit() else self._left))
            await self.top_up()
        else:
            self._complain("no consumer answers" if status == "503" else f"{status} {description}")

    def _on_change(self, connected: bool) -> None:
        if connected:
            self._back.set()
            self._complain("reconnected")
        else:
            self._back.clear()

    def _complain(self, reason: str) -> None:
        self._reason = reason
        self._trouble.set()

    async def _watch(self) -> None:
        """Renew the requests whenever something has ended them."""
        while True:
            await self._until_trouble()
            await self._back.wait()
            reason = self._reason
            if self._wait:
                await asyncio.sleep(self._wait)
            self._wait = min(LONGEST_WAIT, max(FIRST_WAIT, self._wait * 2))
            try:
                if self._fresh or reason != "reconnected":
                    await self._repair(reason)
                self._trouble.clear()
                await self._begin()
            except (BusUnavailable, BusError) as error:
                log.warning("consumer.pull_refused", consumer=self._target(), error=str(error))
                self._complain(reason)
                continue
            self._renewed(reason)
            log.info("consumer.pulling_anew", consumer=self._target(), reason=reason)

    async def _until_trouble(self) -> None:
        while not self._trouble.is_set():
            if self._left <= 0:
                self._last_sign = time.monotonic()  # without a request no heartbeat is due
            silence = time.monotonic() - self._last_sign
            if silence >= SILENCE and self._connection.connected:
                self._complain("missed heartbeats")
                return
            try:
                async with asyncio.timeout(max(SILENCE - silence, 0.1)):
                    await self._trouble.wait()
            except TimeoutError:
                continue


RENEWAL_REASONS: Final[Collection[str]] = ("reconnected", "missed heartbeats", "no consumer answers")
"""The reasons that metrics tell apart; all others are counted as `refused`."""
