"""Parts of the logs of executions: a range of lines, the last lines, or the lines that contain a text.

An excerpt takes a bounded amount of memory, and of reading, whatever the length of the log or of its lines. Here: which
entries it has. Not here: reading a log on (`shared.transcript`), and how an excerpt is shown (`shared.web`).
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas.events import LogChunk, LogLine
from schemas.output import PIECE_COST, Extent, Unmatched, extent, line_ends
from shared.bus import Bus, LogIndex, Mark, place_of
from shared.containing import Containing
from shared.transcript import Entries, Entry, Log, Place, Transcript, Visit, entries_of

MOST_BYTES: Final = 4 << 20
"""The size of an excerpt, about."""
MOST_CHUNKS: Final = 8192
"""The most chunks in which the last lines are looked for."""
MOST_SEARCHED: Final = 64 << 20
"""About how many bytes of messages one search reads."""
MOST_BEYOND: Final = 8 << 20
"""About how many bytes of its first line a search reads besides."""
DECODED: Final = 8
"""How many times more a message costs a search that has to decode it."""
CHUNK_COST: Final = 4096
"""Bytes that a message counts for a search besides its own."""

SHORTENED: Final = "shortened"
"""The remark about a part of a very long line that an excerpt leaves out."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Entries of one log. `next_line` is the line to go on with, None at the end of what is stored; `after` is the
    place there. `lines` and `bytes` are the length of the whole output so far, None if it is not known. `truncated` and
    `expired` say whether output was missing, or is no longer kept."""

    entries: Sequence[Entry]
    next_line: int | None
    after: Place
    lines: int | None
    bytes: int | None
    truncated: bool
    expired: bool

    @property
    def first_line(self) -> int | None:
        """The number of the first line."""
        return self.entries[0].number if self.entries else None

    def to_go_on(self) -> Sequence[Entry]:
        """The entries for a viewer who reads on at `after`: without a remark that the rest of a line is left out."""
        cut = self.next_line is not None and self.entries and self.entries[-1].line.remark == SHORTENED
        return self.entries[:-1] if cut else self.entries


class Excerpts:
    """Reads excerpts for one request."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._visit = Visit()

    async def lines(self, log: Log, from_line: int, limit: int) -> Excerpt:
        """At most `limit` lines from a line on. Raises BusUnavailable."""
        index = await self._index(log)
        return await self._read(log, index, _Forward(from_line, limit))

    async def search(self, log: Log, from_line: int, limit: int, containing: Containing) -> Excerpt:
        """At most `limit` lines that match, with all their pieces, from a line on, as far as MOST_SEARCHED; if what
        follows there cannot be read, as far as that again. Raises BusUnavailable."""
        wanted, index = _Forward(from_line, limit, containing), await self._index(log)
        if index is None:
            return await self._read(log, None, wanted, search=True)
        left, newest = MOST_SEARCHED, 0
        async for message in index.messages(await _start(index, from_line)):
            decode = containing.may_be_in(message.payload)
            left -= CHUNK_COST + len(message.payload) * (DECODED if decode else 1)
            chunk = message.chunk() if decode or left <= 0 else None
            if chunk is None or chunk.seq <= newest:  # without a match, not readable, or stored twice
                if left <= -MOST_SEARCHED:  # what its worker stored is nothing to go on from: the log ends here
                    return await _excerpt(wanted, index, Place(), missing=True)
                continue
            await asyncio.sleep(0)  # decoding takes milliseconds, between which other requests get their turn
            newest, entries = chunk.seq, entries_of(chunk, place_of(chunk))
            if not wanted.add_all(entries) or (left <= 0 and wanted.stop_after(entries)):
                break
        return await _excerpt(wanted, index, Place())

    async def tail(self, log: Log, count: int) -> Excerpt:
        """At most `count` lines at the end. Lines that are missing from the log count as well. Raises
        BusUnavailable."""
        index = await self._index(log)
        start = None if index is None else await _near_the_end(index, count)
        transcript = Transcript(self._bus, log, visit=self._visit, start=start)
        last = _Last(count, start)
        async for entries in transcript.parts():
            for entry in entries:
                last.add(entry)
        return await _excerpt(last, index, transcript.place, transcript)

    async def tails(self, logs: Sequence[Log], count: int) -> list[Excerpt | None]:
        """At most `count` lines at the end of logs that are shown one after the other; None for those before. Raises
        BusUnavailable."""
        found: list[Excerpt | None] = [None] * len(logs)
        left, room = count, MOST_BYTES
        for place in reversed(range(len(logs))):
            if left <= 0 or room <= 0:
                break
            found[place] = excerpt = await self.tail(logs[place], left)
            left -= len({entry.number for entry in excerpt.entries})
            room -= sum(_cost(entry) for entry in excerpt.entries)
        return found

    async def line_since(self, log: Log, moment: datetime) -> int:
        """The number of the first line that was written then or later, or of the next one. Raises BusUnavailable."""
        index, number = await self._index(log), 1
        start = None if index is None else _unless_first(index, await index.last_that(lambda mark: mark.at < moment))
        async for entries in Transcript(self._bus, log, visit=self._visit, start=start).parts():
            for entry in entries:
                if entry.line.timestamp >= moment:
                    return _number(entry)
                number = _number(entry) + 1
        return number

    async def end(self, log: Log) -> Place:
        """The place after what is stored so far. Raises BusUnavailable."""
        return (await self.tail(log, 1)).after

    async def _index(self, log: Log) -> LogIndex | None:
        return await self._bus.log_index(log.execution_id, log.worker_id)

    async def _read(self, log: Log, index: LogIndex | None, wanted: "_Forward", *, search: bool = False) -> Excerpt:
        """Read what is wanted in the order of the output."""
        start = None if index is None else _unless_first(index, await _start(index, wanted.from_line))
        transcript = Transcript(self._bus, log, visit=self._visit, start=start)
        left = MOST_SEARCHED
        async for entries in transcript.parts():
            left -= CHUNK_COST + DECODED * sum(len(entry.line.message) for entry in entries)
            if not wanted.add_all(entries) or (search and left <= 0 and wanted.stop_after(entries)):
                break
        after = wanted.entries[-1].after if wanted.entries and wanted.next_line else transcript.place
        return await _excerpt(wanted, index, after, transcript)


class _Forward:
    """Collects lines, or those that contain something, from a line on, until there are `limit` or they are as large as
    an excerpt may be. Of a line that matches, it has the pieces before the match, too, as far as MOST_BEFORE."""

    def __init__(self, from_line: int, limit: int, containing: Containing | None = None) -> None:
        self.from_line = from_line
        self.entries: Entries = []
        self.next_line: int | None = None
        self._limit = limit
        self._containing = containing
        self._unmatched: dict[str, Unmatched[Entry]] = {}
        """The beginning of an unfinished line, by stream."""
        self._size = self._count = 0
        self._begin = 0
        """Where in `entries` the last line begins."""
        self._beyond = 0
        """The size of what a search has read of its first line after it should have stopped."""

    def add_all(self, entries: Entries) -> bool:
        """Add the entries that match. Returns False when the excerpt is complete."""
        return all(self._add(entry) for entry in entries)

    def stop_after(self, entries: Entries) -> bool:
        """Stop a search after these entries. Returns False if the next one would then begin at the same line again, and
        this one can read on: of a longer line, the rest is not searched."""
        following = _number(entries[-1]) + line_ends(entries[-1].line) if entries else 0
        if following < self.from_line:
            return False
        if following == self.from_line:
            self._beyond += CHUNK_COST + sum(_cost(entry) for entry in entries)
            if self._beyond < MOST_BEYOND:
                return False
            self.entries.append(_shortened(entries[-1], "the rest of this line was not searched"))
            self.next_line = self.from_line + 1
            return True
        while self.entries and _number(self.entries[-1]) >= following:
            self.entries.pop()  # the line goes on, and is searched again
        self.next_line = following
        self._mark_unfinished()
        return True

    def _add(self, entry: Entry) -> bool:
        number, full = _number(entry), self._size >= MOST_BYTES
        another = not self.entries or number > _number(self.entries[-1])
        if another and self.entries and (full or self._count == self._limit):
            self.next_line = max(number, self.from_line + 1)  # whatever a worker says, the next part is another one
            self._mark_unfinished()
            return False
        if not self._matches(entry) or _precedes(entry, self.from_line):
            return True
        if full:
            self._cut(number)
            return False
        if another:
            self._count += 1
            self._begin = len(self.entries)
        for one in (*self._pieces_before(entry), entry):
            self.entries.append(one)
            self._size += _cost(one)
        return True

    def _matches(self, entry: Entry) -> bool:
        if self._containing is None or self._containing.matches(entry.line):
            return True
        stream = entry.line.stream
        if not entry.line.partial:
            self._unmatched.pop(stream, None)
        elif self._containing.is_about(entry.line) and not _precedes(entry, self.from_line):
            self._unmatched.setdefault(stream, Unmatched()).add(entry, entry.line)
        return False

    def _pieces_before(self, entry: Entry) -> Entries:
        """What precedes the first match in its line."""
        before = self._unmatched.pop(entry.line.stream, None)
        if before is None:
            return []
        pieces = list(before)
        return (
            [_shortened(pieces[0], "the beginning of this line is not shown here"), *pieces] if before.cut else pieces
        )

    def _cut(self, number: int) -> None:
        """End before a line for which there is no room, or within the only one."""
        if self._begin:
            del self.entries[self._begin :]
            self.next_line = number
            self._mark_unfinished()
        else:
            self.entries.append(_shortened(self.entries[-1], "the rest of this line is not shown here"))
            self.next_line = number + 1

    def _mark_unfinished(self) -> None:
        """Say of which lines a search has only the beginning, because the other stream ended a line in them."""
        if self._containing is None:
            return  # the next part goes on with the line
        last = {one.line.stream: one for one in self.entries}
        unfinished = [one for one in last.values() if one.line.partial]
        self.entries += [_shortened(one, "the rest of this line is not shown here") for one in unfinished]


class _Last:
    """Keeps the last `count` lines, or as many as an excerpt may have, of what is added. It begins with the chunk
    `start`, which may begin within a line."""

    def __init__(self, count: int, start: Mark | None) -> None:
        self.next_line = None
        self._count = count
        self._entries: deque[Entry] = deque()
        self._size = 0
        self._line = 0
        """The number of the last line."""
        self._cut = 0 if start is None else start.begin.lines + 1
        """The number of the last line of which entries were left out."""
        self._cut_at = Place() if start is None else Place(start.seq)

    def add(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._size += _cost(entry)
        if entry.line.stream != "system":
            self._line = _number(entry)
        while len(self._entries) > 1 and (self._size > MOST_BYTES or _precedes(self._entries[0], self._first)):
            dropped = self._entries.popleft()
            self._size -= _cost(dropped)
            self._cut, self._cut_at = _number(dropped), dropped.after

    @property
    def entries(self) -> Entries:
        """The entries from the first complete line on, or all of them if there is only one line."""
        if self._cut < self._first or not self._entries:
            return list(self._entries)
        if whole := [entry for entry in self._entries if entry.number != self._cut]:
            return whole
        remark = _shortened(self._entries[0], "the beginning of this line is not shown here")
        return [remark._replace(after=self._cut_at), *self._entries]

    @property
    def _first(self) -> int:
        """The number of the first line to keep."""
        return self._line - self._count + 1


async def _excerpt(
    found: _Forward | _Last,
    index: LogIndex | None,
    after: Place,
    transcript: Transcript | None = None,
    *,
    missing: bool = False,
) -> Excerpt:
    length = None if index is None else await _length(index)
    expired = (index is not None and index.first.seq > 1) or (transcript is not None and transcript.expired)
    return Excerpt(
        found.entries,
        found.next_line,
        after,
        lines=length and length.lines,
        bytes=length and length.bytes,
        truncated=expired or missing or (transcript is not None and transcript.missing),
        expired=expired,
    )


async def _length(index: LogIndex) -> Extent:
    """The length of the output so far, with a last line that is not complete."""
    end = extent(index.last_chunk.lines, index.last.begin)
    piece = _last_output(index.last_chunk)
    if piece is None:
        chunk = await index.chunk(await index.last_that(lambda mark: mark.seq < index.last.seq))
        piece = None if chunk is None else _last_output(chunk)
    return end._replace(lines=end.lines + bool(piece and piece.partial))


def _last_output(chunk: LogChunk) -> LogLine | None:
    return next((line for line in reversed(chunk.lines) if line.stream != "system"), None)


async def _start(index: LogIndex, line: int) -> Mark:
    """The chunk from which on a line is read."""
    return await index.last_that(lambda mark: mark.begin.lines + 1 < line)


async def _near_the_end(index: LogIndex, count: int) -> Mark | None:
    """The chunk from which on the last `count` lines are read, or as many as an excerpt may have; None for the
    first one."""
    end = extent(index.last_chunk.lines, index.last.begin)

    def precedes(mark: Mark) -> bool:
        return (
            mark.begin.lines < end.lines - count
            or mark.begin.bytes < end.bytes - MOST_BYTES
            or mark.seq < index.last.seq - MOST_CHUNKS
        )

    return _unless_first(index, await index.last_that(precedes))


def _unless_first(index: LogIndex, start: Mark) -> Mark | None:
    """None if the log is read from its first chunk on, where a remark may say what is no longer kept."""
    return None if start.stream_seq == index.first.stream_seq else start


def _precedes(entry: Entry, line: int) -> bool:
    """Whether an entry, with the lines that are missing at it, is before a line."""
    number = _number(entry)
    return number < line and number + line_ends(entry.line) <= line


def _number(entry: Entry) -> int:
    assert entry.number is not None  # it is known of all entries that are read from the start, or from an indexed chunk
    return entry.number


def _cost(entry: Entry) -> int:
    return PIECE_COST + len(entry.line.message) + len(entry.line.base64 or "")


def _shortened(beside: Entry, words: str) -> Entry:
    line = LogLine(timestamp=beside.line.timestamp, stream="system", message=words, remark=SHORTENED)
    return beside._replace(line=line)
