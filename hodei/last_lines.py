"""The last lines of an output that is read from its beginning, such as those that a search found."""

from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Final

from hodei.remarks import shortened
from schemas.rest.jobs import JobLogLine

MOST_KEPT: Final = 32 << 20
"""About how many bytes of lines are kept at a time."""
COST: Final = 1024
"""Bytes that a piece of a line counts besides its text."""


async def last_lines(lines: AsyncIterator[JobLogLine], count: int) -> AsyncIterator[JobLogLine]:
    """The last `count` lines with all their pieces, in the order in which they ended, or fewer after a remark if they
    exceed MOST_KEPT."""
    last = _Last(count)
    async for line in lines:
        last.add(line)
    for line in last.shown():
        yield line


class _Line:
    """The pieces of a line, and the remarks before and among them."""

    def __init__(self) -> None:
        self.size = 0
        self._pieces: deque[JobLogLine] = deque()
        self._cut = False

    def add(self, piece: JobLogLine) -> None:
        self._pieces.append(piece)
        self.size += _cost(piece)

    def drop_first(self) -> bool:
        """Drop the first piece, if it is not the only one. Returns whether it did."""
        if len(self._pieces) < 2:
            return False
        self.size -= _cost(self._pieces.popleft())
        self._cut = True
        return True

    def is_cut_by(self, remark: JobLogLine) -> bool:
        """Whether a remark says that the rest of this line is left out."""
        return remark.remark == "shortened" and remark.line == self._pieces[-1].line

    def __iter__(self) -> Iterator[JobLogLine]:
        if self._cut:
            yield shortened(self._pieces[0], "the beginning of this line is not shown here")
        yield from self._pieces


class _Last:
    """The last lines of what is added, one execution after the other."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._lines: deque[_Line] = deque()
        """The lines that have ended."""
        self._size = 0
        """Their size."""
        self._unfinished: dict[str, _Line] = {}
        """The lines of the current execution of which more may follow, by stream."""
        self._execution = ""
        self._remarks: list[JobLogLine] = []
        """The remarks since the last line."""
        self._too_large = False
        """Whether a line was dropped because all together were too large."""

    def add(self, entry: JobLogLine) -> None:
        if entry.execution_id != self._execution:
            self._end_all()
            self._execution = entry.execution_id
        if entry.stream == "system":
            self._add_remark(entry)
            return
        line = self._unfinished.pop(entry.stream, None) or self._begun()
        line.add(entry)
        if entry.partial:
            self._unfinished[entry.stream] = line  # the last one is the one that was written last
        else:
            self._end(line)
        self._drop_what_is_too_large()

    def shown(self) -> Iterator[JobLogLine]:
        """The lines, with a remark before them if there is no room for as many as are wanted."""
        self._end_all()
        if self._lines and self._too_large and len(self._lines) < self._count:
            words = f"of the last {self._count} lines, only {len(self._lines)} fit into {MOST_KEPT >> 20} MiB"
            yield shortened(next(iter(self._lines[0])), words)
        for line in self._lines:
            yield from line
        if self._count:
            yield from self._remarks

    def _begun(self) -> _Line:
        """A line that begins here."""
        line = _Line()
        for remark in self._remarks:
            line.add(remark)
        self._remarks.clear()
        return line

    def _add_remark(self, remark: JobLogLine) -> None:
        if not self._unfinished:
            self._remarks.append(remark)
            return
        stream, line = next(reversed(self._unfinished.items()))
        cut = line.is_cut_by(remark)
        line.add(remark)
        if cut:
            self._end(self._unfinished.pop(stream))

    def _end_all(self) -> None:
        for line in self._unfinished.values():
            self._end(line)
        self._unfinished.clear()

    def _end(self, line: _Line) -> None:
        self._lines.append(line)
        self._size += line.size
        if len(self._lines) > self._count:
            self._size -= self._lines.popleft().size

    def _drop_what_is_too_large(self) -> None:
        """Drop the beginnings of unfinished lines, and if that is not enough, the first lines."""
        for line in self._unfinished.values():
            while line.size > MOST_KEPT // 2 and line.drop_first():
                pass
        unfinished = sum(line.size for line in self._unfinished.values())
        while self._lines and self._size + unfinished > MOST_KEPT:
            self._size -= self._lines.popleft().size
            self._too_large = True


def _cost(piece: JobLogLine) -> int:
    return COST + len(piece.message) + len(piece.base64 or "")
