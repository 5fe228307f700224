"""From bytes to lines: what one output stream of a process says, line by line, made fit for JSON.

A line ends with a newline (a carriage return before it goes, too). What is not UTF-8 and NUL become U+FFFD. A line
longer than MAX_LINE bytes is cut into several, each but the last ending in CONTINUED. Which lines are kept is
`output`'s business.
"""

from typing import Final

MAX_LINE: Final = 16 * 1024
CONTINUED: Final = "…"


class LineSplitter:
    """Splits one stream. Keeps at most one unfinished line of at most MAX_LINE bytes."""

    __slots__ = ("_partial",)

    def __init__(self) -> None:
        self._partial = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes."""
        end = data.rfind(b"\n")
        if end < 0:
            return self._extend(data)
        complete = self._partial + data[:end]
        self._partial = b""
        lines = _lines(complete)
        lines += self._extend(data[end + 1 :])
        return lines

    def flush(self) -> list[str]:
        """The last line, if it lacked its newline."""
        partial, self._partial = self._partial, b""
        return _lines(partial) if partial else []

    def _extend(self, data: bytes) -> list[str]:
        rest = self._partial + data
        pieces: list[str] = []
        while len(rest) > MAX_LINE:
            head, rest = _cut(rest)
            pieces.append(_text(head) + CONTINUED)
        self._partial = rest
        return pieces


def _lines(data: bytes) -> list[str]:
    """`data` without its last newline, as lines."""
    if len(data) > MAX_LINE:
        return [piece for line in data.split(b"\n") for piece in _pieces(line)]
    text = _text(data)
    if "\r" in text:
        return [line.removesuffix("\r") for line in text.split("\n")]
    return text.split("\n")


def _pieces(line: bytes) -> list[str]:
    pieces = []
    while len(line) > MAX_LINE:
        head, line = _cut(line)
        pieces.append(_text(head) + CONTINUED)
    pieces.append(_text(line).removesuffix("\r"))
    return pieces


def _cut(line: bytes) -> tuple[bytes, bytes]:
    """Cut off at most MAX_LINE bytes, not within a character."""
    at = MAX_LINE
    while at > MAX_LINE - 4 and line[at] & 0xC0 == 0x80:
        at -= 1
    return line[:at], line[at:]


def _text(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    return text.replace("\0", "\ufffd") if "\0" in text else text
