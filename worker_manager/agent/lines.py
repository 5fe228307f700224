"""Splits one output stream of a process from bytes into lines that fit into JSON, without loss.

A line ends with LF or CR LF. A line longer than MAX_LINE bytes becomes several pieces, and so does one that is released
before its end; all pieces but the last are `partial`. Bytes that are not UTF-8, and NUL, become U+FFFD, with the
original bytes beside the text. Together the entries hold every byte. `output` decides which of them are kept.
"""

import math
import time
from base64 import b64encode
from datetime import datetime
from typing import Final, Literal

from schemas.events import LogLine

Stream = Literal["stdout", "stderr"]

MAX_LINE: Final = 16 * 1024
_WIDEST: Final = 4
"""Bytes of the longest UTF-8 sequence."""


class LineSplitter:
    """Splits one stream. Keeps at most one unfinished line, of at most MAX_LINE bytes.

    `since` is the time (`time.monotonic`) of the oldest byte that `release` could return; infinite when there is none.
    """

    __slots__ = ("_rest", "_stream", "since")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._rest = b""
        self.since = math.inf

    def feed(self, data: bytes, moment: datetime) -> list[LogLine]:
        """The lines that `data` completes, and pieces of a line that is too long."""
        end = data.rfind(b"\n")
        if end < 0:
            lines: list[LogLine] = []
            rest = self._rest + data
        else:
            lines = self._lines(self._rest + data[:end], moment)
            rest = data[end + 1 :]
            self.since = math.inf
        while len(rest) > MAX_LINE:
            head, rest = _cut(rest)
            lines.append(self._piece(head, moment))
            self.since = math.inf
        self._rest = rest
        if rest and self.since == math.inf:
            self.since = time.monotonic()
        return lines

    def release(self, before: float, moment: datetime) -> list[LogLine]:
        """The unfinished line as a piece, if it began before that time. An incomplete character at its end is kept
        back."""
        if self.since > before:
            return []
        self.since = math.inf
        whole = _whole(self._rest)
        head, self._rest = self._rest[:whole], self._rest[whole:]
        return [self._piece(head, moment)] if head else []

    def flush(self, moment: datetime) -> list[LogLine]:
        """The last line, if it has no newline at its end."""
        rest = self.take_rest()
        return [self._piece(rest, moment)] if rest else []

    def take_rest(self) -> bytes:
        """Remove and return the bytes of the unfinished line."""
        rest, self._rest, self.since = self._rest, b"", math.inf
        return rest

    def _lines(self, data: bytes, moment: datetime) -> list[LogLine]:
        """Entries of complete lines; `data` lacks the end of the last one."""
        if b"\r" not in data and b"\0" not in data:
            try:
                messages = data.decode().split("\n")
            except UnicodeDecodeError:
                pass
            else:
                if max(map(len, messages)) <= MAX_LINE // _WIDEST:
                    make, stream = LogLine, self._stream
                    return [make(timestamp=moment, stream=stream, message=message) for message in messages]
        return [piece for line in data.split(b"\n") for piece in self._pieces(line, moment)]

    def _pieces(self, line: bytes, moment: datetime) -> list[LogLine]:
        """Entries of one complete line."""
        pieces = []
        while len(line) > MAX_LINE:
            head, line = _cut(line)
            pieces.append(self._piece(head, moment))
        crlf = line.endswith(b"\r")
        pieces.append(self._piece(line[:-1] if crlf else line, moment, partial=None, crlf=crlf or None))
        return pieces

    def _piece(
        self, data: bytes, moment: datetime, *, partial: bool | None = True, crlf: bool | None = None
    ) -> LogLine:
        text = data.decode("utf-8", "replace").replace("\0", "\ufffd")
        raw = b64encode(data).decode() if "\ufffd" in text and text.encode() != data else None
        return LogLine(timestamp=moment, stream=self._stream, message=text, partial=partial, crlf=crlf, base64=raw)


def _cut(line: bytes) -> tuple[bytes, bytes]:
    """Split after at most MAX_LINE bytes, but not within a character."""
    at = _whole(line[:MAX_LINE])
    return line[:at], line[at:]


def _whole(data: bytes) -> int:
    """The length of `data` without an incomplete character at its end."""
    for back in range(1, min(_WIDEST, len(data) + 1)):
        byte = data[-back]
        if byte & 0xC0 != 0x80:
            width = 2 if 0xC2 <= byte < 0xE0 else 3 if 0xE0 <= byte < 0xF0 else 4 if 0xF0 <= byte < 0xF5 else 1
            return len(data) - back if width > back else len(data)
    return len(data)
