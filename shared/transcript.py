"""One execution's log as a viewer gets it: its entries in order, each with its place, and words where some are missing.

Here: reading on from a place, and what is remarked about output that is not kept any more, was lost or has not come.
Not here: how chunks come out of JetStream (`bus_logs`), how entries are printed (each route).
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from schemas.events import LogChunk, LogGap, LogLine
from schemas.output import Extent, extent
from shared.bus import Bus
from shared.clock import now

UNCOUNTED: Final = 1 << 30
"""In place of a number of chunks that nobody knows: read until nothing comes any more."""
LATE: Final = 1.0
"""Seconds that one request waits, in all, for chunks of executions that were over before it."""
LIVE_LATE: Final = 3.0
"""Seconds of silence after the end of an execution that was followed, until its last chunks are given up."""

EXPIRED: Final = "expired"
"""The remark that output is not kept any more."""
UNAVAILABLE: Final = "unavailable"
"""The remark that output is not there: not kept any more, or not delivered yet."""
LOST: Final = "lost"
"""The remark that output was lost on its way."""
ASIDE: Final = frozenset({"held_back"})
"""Remarks that nothing is missing at."""

_PLACE: Final = re.compile(r"^(\d{1,10})(?:\.(\d{1,9}))?$")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in a log, right before an entry of a chunk; -1 is before the remark that chunks before it are missing."""

    chunk: int = 1
    entry: int = -1

    def __str__(self) -> str:
        return f"{self.chunk}" if self.entry < 0 else f"{self.chunk}.{self.entry}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The way back; None for what is not a place."""
        found = _PLACE.match(text)
        return cls(int(found[1]), int(found[2]) if found[2] else -1) if found else None


START: Final = Place()

Entries = list[tuple[LogLine, Place]]
"""Entries of a log, each with the place after it."""


@dataclass(frozen=True, slots=True)
class Log:
    """What is known of one execution's log. `chunks` is how many it wrote, None while that is not known."""

    execution_id: str
    chunks: int | None
    over: bool = True
    finished_at: datetime | None = None

    @property
    def expected(self) -> int:
        """How many chunks to read to the end."""
        return UNCOUNTED if self.chunks is None else self.chunks


class Visit:
    """What the logs that one request reads have in common: how long it may wait in all, from its first wait on, for
    output that may never come, and since when logs are kept."""

    def __init__(self, seconds: float = LATE) -> None:
        self._seconds = seconds
        self._deadline: float | None = None
        self._kept_since: datetime | None = None

    @property
    def spent(self) -> bool:
        """Whether there is no time left; false while nothing was waited for."""
        return self._deadline is not None and self.left() == 0

    def left(self) -> float:
        """How long a wait that begins now may take."""
        at = asyncio.get_running_loop().time()
        if self._deadline is None:
            self._deadline = at + self._seconds
        return max(0.0, self._deadline - at)

    async def kept_since(self, bus: Bus) -> datetime:
        """The time before which nothing is kept, as it was when it was first asked for. Raises BusUnavailable."""
        if self._kept_since is None:
            self._kept_since = await bus.logs_kept_since()
        return self._kept_since


class Transcript:
    """A log from `place` on: as far as it is there, or with `follow` until `finish` has told its end.

    `place` is where the viewer stands. `missing` and `expired` tell whether output was not there, and whether that was
    because it is not kept any more.
    """

    def __init__(self, bus: Bus, log: Log, *, visit: Visit, place: Place = START, follow: bool = False) -> None:
        self.place = place
        self.missing = self.expired = False
        self._bus = bus
        self._log = log
        self._visit = visit
        self._began = place
        self._last: LogChunk | None = None
        self._reader = bus.read_log(
            log.execution_id,
            after=place.chunk - 1,
            follow=log.chunks is not None if log.over else follow,
            until_chunks=log.chunks if log.over else None,
            settle=visit.left,
        )

    def finish(self, log: Log) -> None:
        """The execution is over, and this is known of its log."""
        if log.over and not self._log.over:
            self._log = log
            self._reader.finish(log.expected, settle=LATE if log.chunks is None else LIVE_LATE)

    async def parts(self) -> AsyncIterator[Entries]:
        """The entries, chunk by chunk, and remarks where some are missing. Raises BusUnavailable."""
        if self._log.over and self.place.chunk > self._log.expected:
            return
        if not (self._log.over and self._visit.spent) or await self._bus.has_log(self._log.execution_id):
            async with self._reader:
                async for chunk in self._reader:
                    yield self._entries(chunk)
        if self._log.over and (remark := await self._at_the_end()) is not None:
            self.place = Place(self._log.expected + 1)
            yield [(remark, self.place)]

    def _entries(self, chunk: LogChunk) -> Entries:
        """What the viewer has not seen of a chunk, after a remark if chunks before it are missing."""
        entries: Entries = []
        first = self.place.entry if chunk.seq == self.place.chunk else -1
        if chunk.seq > self.place.chunk:
            entries.append((self._gap(chunk), Place(chunk.seq, 0)))
        count, end = len(chunk.lines), Place(chunk.seq + chunk.stands_for)
        for index in range(max(0, first), count):
            line = chunk.lines[index]
            self.missing = self.missing or (line.stream == "system" and line.remark not in ASIDE)
            entries.append((line, Place(chunk.seq, index + 1) if index + 1 < count else end))
        self.place = max(self.place, end)
        self._last = chunk
        return entries

    def _gap(self, chunk: LogChunk) -> LogLine:
        """What is remarked right before a chunk when those before it are missing."""
        missing = self._missing_before(chunk)
        amount = "" if missing is None else f" ({missing.bytes} bytes, {missing.lines} lines)"
        at = chunk.lines[0].timestamp if chunk.lines else now()
        if self._last is not None:
            return self._remark(LOST, f"output is missing here that was lost on its way{amount}", at, missing)
        what = "the beginning of this output" if self._began == START else "output that came before this"
        return self._remark(EXPIRED, f"{what} is no longer kept{amount}", at, missing)

    def _missing_before(self, chunk: LogChunk) -> LogGap | None:
        """How much output lies between the last chunk that was read and this one, if that can be told."""
        begin = Extent()
        if self._last is not None:
            if self._last.offset is None or self._last.first_line is None:
                return None
            begin = extent(self._last.lines, Extent(self._last.offset, self._last.first_line - 1))
        elif self._began != START:
            return None
        if chunk.offset is None or chunk.first_line is None:
            return None
        return LogGap(bytes=chunk.offset - begin.bytes, lines=chunk.first_line - 1 - begin.lines)

    async def _at_the_end(self) -> LogLine | None:
        """What is remarked behind the last chunk that there is, if more were written."""
        log = self._log
        if self.place.chunk > log.expected or (log.chunks is None and self._last is not None):
            return None
        at = log.finished_at or now()
        if self._last is None and at < await self._visit.kept_since(self._bus):
            what = "the output of this execution" if self._began == START else "the rest of this output"
            if log.chunks is None:
                what = "what this execution wrote, if it wrote anything,"
            return self._remark(EXPIRED, f"{what} is no longer kept", at)
        if log.chunks is None:
            return None
        if self._last is None and self._began == START:
            words = "the output of this execution is not there: it is no longer kept, or not delivered yet"
        else:
            words = "the end of this output is not there: it was lost, or is not delivered yet"
        return self._remark(UNAVAILABLE, words, at)

    def _remark(self, remark: str, message: str, at: datetime, missing: LogGap | None = None) -> LogLine:
        self.missing = True
        self.expired = self.expired or remark == EXPIRED
        return LogLine(timestamp=at, stream="system", message=message, remark=remark, missing=missing)
