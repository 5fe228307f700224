"""Reads the stream of events in order: first what is stored, then what comes.

Here: `EventReader`, one ordered reading for one viewer. It gets messages directly, without a consumer on the server,
as only the viewer knows its position; any number may read at the same time. Not here: what the messages say.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

import structlog
from nats.aio.msg import Msg

from schemas.model import rfc3339
from schemas.subjects import EVENTS, Catalogue
from shared.bus.connection import Connection
from shared.bus.direct import get_batch
from shared.bus.errors import BusError
from shared.errors import BusUnavailable

log = structlog.get_logger(__name__)

AT_ONCE: Final = 64
BYTES_AT_ONCE: Final = 1 << 20
"""The most messages, and about the most bytes, that are read at once. A message is a batch of events, of up to some
megabytes."""
LOOK_AGAIN: Final = 0.2
"""Seconds between two looks whether the stream has grown."""
NO_STREAM: Final = 10059
Pace = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class StoredEvents:
    """A message of the stream: a batch of events of one type. `seq` is its position, `worker_id` the worker whose agent
    published it."""

    seq: int
    event_type: str
    worker_id: str | None
    payload: bytes


class EventStreamState:
    """How far the stream of events goes. All readers of a process that wait for more look once for all of them."""

    def __init__(self, connection: Connection, catalogue: Catalogue) -> None:
        self._connection = connection
        self._stream = catalogue.stream(EVENTS)
        self._last = 0
        self._looking = asyncio.Lock()

    async def bounds(self) -> tuple[int, int]:
        """The positions of the first and of the last message. Raises BusUnavailable."""
        try:
            state = (await self._connection.api(f"STREAM.INFO.{self._stream}", {}))["state"]
        except BusError as error:
            if error.code != NO_STREAM:
                raise
            raise BusUnavailable("the stream of events does not exist yet") from error
        self._last = int(state["last_seq"])
        return int(state["first_seq"]), self._last

    async def beyond(self, seq: int) -> bool:
        """Wait until there is a message after this position. Returns False if the stream does not go so far: it was
        created anew."""
        while self._last <= seq:
            async with self._looking:
                if self._last > seq:
                    break
                await asyncio.sleep(LOOK_AGAIN)
                try:
                    await self.bounds()
                except BusUnavailable as error:
                    log.debug("events.not_read", error=str(error))
                    continue
                if self._last < seq:
                    return False
        return True


class EventReader:
    """An asynchronous iterator over the messages of the stream with events of these types, each once, in order.

    It begins after the message at `after`, or else with the first since the time `since`, or else with the next that
    comes. It ends when the stream is created anew, and without `follow` once all that is stored was read. While NATS is
    unavailable it waits, and then goes on where it was; without `follow` it raises BusUnavailable. `pace` is awaited
    after each reading, with its bytes.
    """

    def __init__(
        self,
        connection: Connection,
        catalogue: Catalogue,
        state: EventStreamState,
        event_types: Collection[str],
        *,
        after: int | None = None,
        since: datetime | None = None,
        follow: bool = True,
        pace: Pace | None = None,
    ) -> None:
        self.gap = False
        """Whether messages after `after` may be missing: the stream does not keep them any more."""
        self.begin = after
        """The position before the first message that is read; None with `since`."""
        self._last = after
        """The position of the last message that was read; None only before the start."""
        self._connection = connection
        self._catalogue = catalogue
        self._state = state
        self._event_types = frozenset(event_types)
        self._since = since
        self._follow = follow
        self._pace = pace
        self._messages: deque[StoredEvents] = deque()

    async def start(self) -> Self:
        """Find the beginning. Raises BusUnavailable."""
        first, last = await self._state.bounds()
        if self._last is not None and not first <= self._last + 1 <= last + 1:
            # Older than what is stored: go on with the oldest. A position to come is one of another stream.
            self.gap, self._last = True, (first - 1 if self._last < first else last)
        elif self._last is None and self._since is None:
            self._last = last
        self.begin = self._last
        await self._fetch()
        if self._last is None:
            self._last = last  # nothing has happened since that time
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StoredEvents:
        while not self._messages:
            try:
                more = await self._fetch() or (self._follow and await self._state.beyond(self._last or 0))
            except BusUnavailable:
                if not self._follow:
                    raise
                await asyncio.sleep(LOOK_AGAIN)
            else:
                if not more and not self._messages:
                    raise StopAsyncIteration
        return self._messages.popleft()

    async def _fetch(self) -> bool:
        """Read the next messages, and keep those of the wanted types. Returns False at the end of the stream."""
        start: Mapping[str, object] = {"seq": 1 if self._last is None else self._last + 1}
        if self._last is None and self._since is not None:
            start = {"start_time": rfc3339(self._since)}
        room = {"batch": AT_ONCE, "max_bytes": BYTES_AT_ONCE}
        found = await get_batch(
            self._connection,
            self._catalogue.stream(EVENTS),
            {**start, **room, "next_by_subj": f"{self._catalogue.namespace}.>"},
        )
        for message in found:
            self._take(message)
        if found and self._pace is not None:
            await self._pace(sum(len(message.data) for message in found))
        return bool(found)

    def _take(self, message: Msg) -> None:
        headers = message.headers or {}
        subject, self._last = headers["Nats-Subject"], int(headers["Nats-Sequence"])
        event_type = self._catalogue.event_type(subject)
        if event_type in self._event_types:
            worker_id = self._catalogue.worker(subject)
            self._messages.append(StoredEvents(self._last, event_type, worker_id, message.data))
