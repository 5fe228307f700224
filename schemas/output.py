"""From the entries of a log back to the bytes and the lines that the command wrote, and how many these are."""

from base64 import b64decode
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from schemas.events import LogLine

Kept = TypeVar("Kept")


class Extent(NamedTuple):
    """A length of output: its bytes, and the ends of lines among them."""

    bytes: int = 0
    lines: int = 0


NOTHING: Final = Extent()


class Piece(Protocol):
    """An entry of a log, on the bus or over REST: `schemas.events.LogLine` says what its members mean."""

    @property
    def message(self) -> str: ...

    @property
    def partial(self) -> bool | None: ...

    @property
    def crlf(self) -> bool | None: ...

    @property
    def base64(self) -> str | None: ...


def written(piece: Piece) -> bytes:
    """The bytes that the command wrote, with the end of the line unless it is not over."""
    text = piece.message.encode() if piece.base64 is None else b64decode(piece.base64)
    if piece.partial:
        return text
    return text + (b"\r\n" if piece.crlf else b"\n")


def extent(lines: Iterable[LogLine], begin: Extent = NOTHING) -> Extent:
    """How far the output has come after these entries, with what is missing among them, when it was at `begin`."""
    size, ends = begin
    for line in lines:
        ends += line_ends(line)
        if line.stream != "system":
            size += len(written(line))
        elif line.missing is not None:
            size += line.missing.bytes
    return Extent(size, ends)


def line_ends(line: LogLine) -> int:
    """The ends of lines in an entry: one, unless it is a piece. A remark counts those that are missing at it."""
    if line.stream != "system":
        return not line.partial
    return 0 if line.missing is None else line.missing.lines


PIECE_COST: Final = 256
"""Bytes that a piece counts besides its text."""
MOST_BEFORE: Final = 64 << 10
"""About how many bytes of a line a search shows before the piece that matches."""


class Unmatched(Generic[Kept]):
    """The pieces of an unfinished line in which a search has found nothing so far. Of a longer line, it keeps the last
    MOST_BEFORE bytes; `cut` is whether it has dropped any."""

    def __init__(self) -> None:
        self.cut = False
        self._kept: deque[tuple[Kept, int]] = deque()
        self._size = 0

    def __iter__(self) -> Iterator[Kept]:
        return (kept for kept, _ in self._kept)

    def add(self, kept: Kept, piece: Piece) -> None:
        """Keep `kept`, which stands for this piece."""
        size = PIECE_COST + len(piece.message) + len(piece.base64 or "")
        self._kept.append((kept, size))
        self._size += size
        while self._size > MOST_BEFORE and len(self._kept) > 1:
            self._size -= self._kept.popleft()[1]
            self.cut = True
