"""One execution's log as a viewer gets it: its entries in order, numbered, and remarks about missing output.

Here: reading on from a place, the numbers of lines, and the remarks about output that has expired, was lost or has not
arrived. Not here: how chunks are read from JetStream (`shared.bus.logs`), and how entries are formatted (each route).
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, Self

from schemas.events import LogChunk, LogGap, LogLine
from schemas.output import NOTHING, Extent, extent, line_ends
from shared.bus import Bus, Mark, place_of
from shared.clock import now

UNCOUNTED: Final = 1 << 30
"""Stands for an unknown number of chunks: read until no more arrive."""
LATE: Final = 1.0
"""Seconds in total that one request waits for chunks of executions that were already over."""
LIVE_LATE: Final = 3.0
"""Seconds without a chunk after the end of a followed execution, after which its missing chunks are given up."""

EXPIRED: Final = "expired"
"""The remark about output that has expired."""
UNAVAILABLE: Final = "unavailable"
"""The remark about output that is missing: expired, lost, or not delivered yet."""
LOST: Final = "lost"
"""The remark about output that was lost on its way."""
ASIDE: Final = frozenset({"held_back"})
"""Remarks that do not mean missing output."""

FAR: Final = 64
"""Chunks from which on it is faster to look for a place in the stream than to read up to it."""

_PLACE: Final = re.compile(r"^(\d{1,10})(?:\.(\d{1,9}))?$")


class Place(NamedTuple):
    """A place in a log: before an entry of a chunk, or (-1) before the remark that precedes a chunk after a gap."""

    chunk: int = 1
    entry: int = -1

    def __str__(self) -> str:
        return f"{self.chunk}" if self.entry < 0 else f"{self.chunk}.{self.entry}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse the text form; None if it is not one."""
        found = _PLACE.match(text)
        return cls(int(found[1]), int(found[2]) if found[2] else -1) if found else None


START: Final = Place()


class Entry(NamedTuple):
    """An entry of a log: the place after it, and its number, which is that of the line of the text in which it begins.
    The number is None where it is unknown: after a place in the log of an earlier version."""

    line: LogLine
    after: Place
    number: int | None


Entries = list[Entry]


def entries_of(chunk: LogChunk, begin: Extent | None) -> Entries:
    """The entries of a chunk. `begin` is the output before it, if that is known."""
    entries: Entries = []
    number = None if begin is None else begin.lines + 1
    for index, line in enumerate(chunk.lines, start=1):
        entries.append(Entry(line, Place(chunk.seq, index), number))
        if number is not None:
            number += line_ends(line)
    if entries:
        entries[-1] = entries[-1]._replace(after=Place(chunk.seq + chunk.stands_for))
    return entries


def _is_missing_at(line: LogLine) -> bool:
    """Whether an entry is a remark about missing output."""
    return line.stream == "system" and line.remark not in ASIDE


@dataclass(frozen=True, slots=True)
class Log:
    """The known facts of one execution's log. `worker_id` is the worker that the execution is placed on, if it is.
    `chunks` is the number that it wrote, None while that is unknown."""

    execution_id: str
    worker_id: str | None
    chunks: int | None
    over: bool = True
    finished_at: datetime | None = None

    @property
    def expected(self) -> int:
        """The number of chunks to read."""
        return UNCOUNTED if self.chunks is None else self.chunks


class Visit:
    """The state that the logs of one request share: the total time for waits on output that may never come, counted
    from the first wait, and the time before which logs have expired."""

    def __init__(self, seconds: float = LATE) -> None:
        self._seconds = seconds
        self._deadline: float | None = None
        self._kept_since: datetime | None = None

    @property
    def spent(self) -> bool:
        """Whether the time is used up; False before the first wait."""
        return self._deadline is not None and self.left() == 0

    def left(self) -> float:
        """Seconds that a wait may take that begins now."""
        at = asyncio.get_running_loop().time()
        if self._deadline is None:
            self._deadline = at + self._seconds
        return max(0.0, self._deadline - at)

    async def kept_since(self, bus: Bus) -> datetime:
        """The time before which logs have expired, read once per visit. Raises BusUnavailable."""
        if self._kept_since is None:
            self._kept_since = await bus.logs_kept_since()
        return self._kept_since


class Transcript:
    """A log from `place` on: as far as it is stored, or with `follow` until the end that `finish` gives.

    `place` is the viewer's current place; with `start`, it is before that chunk. `missing` is whether output was
    missing, `expired` whether any of it has expired.
    """

    def __init__(
        self,
        bus: Bus,
        log: Log,
        *,
        visit: Visit,
        place: Place = START,
        start: Mark | None = None,
        follow: bool = False,
    ) -> None:
        self.place = place = place if start is None else Place(start.seq)
        self.missing = self.expired = False
        self._bus = bus
        self._log = log
        self._visit = visit
        self._began = place
        self._last: LogChunk | None = None
        self._last_begin: Extent | None = None
        self._start = start
        self._reader = bus.read_log(
            log.execution_id,
            log.worker_id,
            after=place.chunk - 1,
            follow=log.chunks is not None if log.over else follow,
            until_chunks=log.chunks if log.over else None,
            settle=visit.left,
        )

    def finish(self, log: Log) -> None:
        """Note the final facts of the log, once its execution is over."""
        if log.over and not self._log.over:
            self._log = log
            self._reader.finish(log.expected, settle=LATE if log.chunks is None else LIVE_LATE)

    async def parts(self) -> AsyncGenerator[Entries, None]:
        """The entries, chunk by chunk, and remarks where some are missing. Raises BusUnavailable."""
        if self._log.over and self.place.chunk > self._log.expected:
            return
        if not (self._log.over and self._visit.spent) or await self._has_log():
            await self._skip()
            async with self._reader:
                async for chunk in self._reader:
                    yield self._entries(chunk)
        if self._log.over and (remark := await self._at_the_end()) is not None:
            end = self._end()
            self.place = Place(self._log.expected + 1)
            yield [Entry(remark, self.place, None if end is None else end.lines + 1)]

    async def _skip(self) -> None:
        """Skip the chunks of the stream that are before the start."""
        if self._start is None and self.place.chunk > FAR:
            index = await self._bus.log_index(self._log.execution_id, self._log.worker_id)
            if index is not None:
                self._start = await index.last_that(lambda mark: mark.seq < self.place.chunk)
        if self._start is not None:
            self._reader.skip_to(self._start.stream_seq)

    async def _has_log(self) -> bool:
        return await self._bus.has_log(self._log.execution_id, self._log.worker_id)

    def _entries(self, chunk: LogChunk) -> Entries:
        """The entries of a chunk that the viewer has not seen, after a remark if earlier chunks are missing."""
        entries: Entries = []
        first = self.place.entry if chunk.seq == self.place.chunk else -1
        begin, after_gap = place_of(chunk), chunk.seq > self.place.chunk
        before = self._end() if after_gap or begin is None else begin
        begin = begin or before  # what is missing from the log of an earlier version does not count
        if after_gap:
            at = before or begin
            entries.append(Entry(self._gap(chunk, before), Place(chunk.seq, 0), None if at is None else at.lines + 1))
        new = entries_of(chunk, begin)[max(0, first) :]
        self.missing = self.missing or any(_is_missing_at(entry.line) for entry in new)
        self.place = max(self.place, Place(chunk.seq + chunk.stands_for))
        self._last, self._last_begin = chunk, begin
        return entries + new

    def _end(self) -> Extent | None:
        """The output up to the current place, if that is known."""
        if self._last is None:
            return NOTHING if self._began == START else None
        return None if self._last_begin is None else extent(self._last.lines, self._last_begin)

    def _gap(self, chunk: LogChunk, before: Extent | None) -> LogLine:
        """The remark before a chunk if earlier chunks are missing. `before` is the output before them."""
        after, missing = place_of(chunk), None
        if before is not None and after is not None:
            missing = LogGap(bytes=after.bytes - before.bytes, lines=after.lines - before.lines)
        amount = "" if missing is None else f" ({missing.bytes} bytes, {missing.lines} lines)"
        at = chunk.lines[0].timestamp if chunk.lines else now()
        if self._last is not None:
            return self._remark(LOST, f"output was lost here before it reached the log{amount}", at, missing)
        what = "the beginning of this output" if self._began == START else "the output before this line"
        return self._remark(EXPIRED, f"{what} is no longer kept{amount}", at, missing)

    async def _at_the_end(self) -> LogLine | None:
        """The remark after the last stored chunk, if the execution wrote more."""
        log = self._log
        if self.place.chunk > log.expected or (log.chunks is None and self._last is not None):
            return None
        at = log.finished_at or now()
        if self._last is None and at < await self._visit.kept_since(self._bus):
            what = "the output of this execution" if self._began == START else "the rest of this output"
            if log.chunks is None:
                what = "the output of this execution, if it had any,"
            return self._remark(EXPIRED, f"{what} is no longer kept", at)
        if log.chunks is None:
            return None
        if self._last is None and self._began == START:
            words = "the output of this execution is not available: it is no longer kept, or not yet delivered"
        else:
            words = "the end of this output is not available: it was lost, or is not yet delivered"
        return self._remark(UNAVAILABLE, words, at)

    def _remark(self, remark: str, message: str, at: datetime, missing: LogGap | None = None) -> LogLine:
        self.missing = True
        self.expired = self.expired or remark == EXPIRED
        return LogLine(timestamp=at, stream="system", message=message, remark=remark, missing=missing)
