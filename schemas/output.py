"""From the entries of a log back to the bytes that the command wrote, and how many these are."""

from base64 import b64decode
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from schemas.events import LogLine


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
