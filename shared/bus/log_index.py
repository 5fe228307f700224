"""Finds a place in the stored log of one execution without reading what precedes it.

Each chunk states its place in the output, and JetStream returns the first message of a subject from a position in the
stream on, so a search by halves needs about 20 requests in a stream of a million messages.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import orjson

from schemas.cloudevents import MalformedEvents, decode_batch
from schemas.events import LogChunk
from schemas.output import Extent
from schemas.subjects import LOGS, Catalogue
from shared.bus.connection import Connection
from shared.bus.direct import get_batch

DEADLINE: Final = 5.0
AT_ONCE: Final = 16
BYTES_AT_ONCE: Final = 1 << 20
"""The most messages, and about the most bytes, that are read at once."""
_SEQUENCE: Final = "Nats-Sequence"


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a chunk is: the number of its message in the stream, its own number, the output before it, and the time of
    its first entry."""

    stream_seq: int
    seq: int
    begin: Extent
    at: datetime


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message of a log that is not decoded yet, and its number in the stream."""

    stream_seq: int
    payload: bytes

    def mark(self) -> Mark | None:
        """Where its chunk is, without the cost of decoding its lines; None if it cannot be read, or does not say."""
        try:
            data = orjson.loads(self.payload)[0]["data"]
            begin = Extent(int(data["offset"]), int(data["first_line"]) - 1)
            at = datetime.fromisoformat(data["lines"][0]["timestamp"]).astimezone(UTC)
            return Mark(self.stream_seq, int(data["seq"]), begin, at)
        except (ValueError, TypeError, LookupError, OverflowError):
            return None  # who reads the log counts it

    def chunk(self) -> LogChunk | None:
        """Its chunk; None if it cannot be read."""
        try:
            chunk = decode_batch(LogChunk.event_type, self.payload)[0].data
        except MalformedEvents:
            return None
        return chunk if isinstance(chunk, LogChunk) else None


class LogIndex:
    """A log of which each chunk states its place. `first` and `last` are the marks of the chunks that were stored first
    and last when it was opened, and `last_chunk` is the latter."""

    def __init__(self, messages: "Messages", first: Mark, last: Mark, last_chunk: LogChunk) -> None:
        self.first = first
        self.last = last
        self.last_chunk = last_chunk
        self._messages = messages

    async def last_that(self, precedes: Callable[[Mark], bool]) -> Mark:
        """The last chunk that `precedes` some place in the output, or the first chunk. Raises BusUnavailable.

        A chunk that was stored twice stands in front of its successors again, so all that follow the found chunk in
        the output follow it in the stream as well. Chunks that cannot be read do not count.
        """
        if precedes(self.last):
            return self.last
        found, end = self.first, self.last.stream_seq
        while found.stream_seq + 1 < end:
            middle = (found.stream_seq + end) // 2
            message = await self._messages.since(middle)
            mark = None if message is None else message.mark()
            if mark is not None and mark.stream_seq < end and precedes(mark):
                found = mark
            else:
                end = middle
        return found

    async def chunk(self, mark: Mark) -> LogChunk | None:
        """A chunk; None if it is not stored any more. Raises BusUnavailable."""
        message = await self._messages.since(mark.stream_seq)
        return None if message is None else message.chunk()

    async def messages(self, start: Mark) -> AsyncIterator[StoredMessage]:
        """The stored messages from a chunk on. Raises BusUnavailable."""
        following = start.stream_seq
        while batch := await self._messages.batch(following):
            for message in batch:
                yield message
            following = batch[-1].stream_seq + 1


class Messages:
    """The stored messages on one subject."""

    def __init__(self, connection: Connection, stream: str, subject: str) -> None:
        self._connection = connection
        self._stream = stream
        self._subject = subject

    async def since(self, stream_seq: int) -> StoredMessage | None:
        """The first message at this number of the stream or later."""
        return await self._get({"seq": stream_seq, "next_by_subj": self._subject})

    async def last(self) -> StoredMessage | None:
        """The last message."""
        return await self._get({"last_by_subj": self._subject})

    async def batch(self, stream_seq: int) -> list[StoredMessage]:
        """The next messages from this number of the stream on; none at the end."""
        wanted = {"seq": stream_seq, "next_by_subj": self._subject, "batch": AT_ONCE, "max_bytes": BYTES_AT_ONCE}
        found = await get_batch(self._connection, self._stream, wanted, deadline=DEADLINE)
        return [StoredMessage(int((one.headers or {})[_SEQUENCE]), one.data) for one in found]

    async def _get(self, wanted: dict[str, object]) -> StoredMessage | None:
        subject = f"$JS.API.DIRECT.GET.{self._stream}"
        message = await self._connection.ask(subject, orjson.dumps(wanted), deadline=DEADLINE)
        if not message.data or message.headers is None:
            return None
        return StoredMessage(int(message.headers[_SEQUENCE]), message.data)


def place_of(chunk: LogChunk) -> Extent | None:
    """The output before a chunk; None if the chunk does not state it, as those of earlier versions."""
    if chunk.offset is None or chunk.first_line is None:
        return None
    return Extent(chunk.offset, chunk.first_line - 1)


async def open_log_index(
    connection: Connection, catalogue: Catalogue, execution_id: str, worker_id: str | None
) -> LogIndex | None:
    """The index of the log of an execution that is placed on a worker. None if no chunk of it is stored, or if an
    earlier version stored it: without the place of each chunk, or on a subject without a worker. Raises
    BusUnavailable."""
    own, *earlier = [
        Messages(connection, catalogue.stream(LOGS), subject) for subject in catalogue.own_logs(execution_id, worker_id)
    ]
    if not earlier:
        return None  # it is not placed
    first, last, unplaced = await asyncio.gather(own.since(1), own.last(), earlier[0].last())
    if first is None or last is None or unplaced is not None:
        return None
    begin, end, last_chunk = first.mark(), last.mark(), last.chunk()
    if begin is None or end is None or last_chunk is None:
        return None
    return LogIndex(own, begin, end, last_chunk)
