"""Finds lines of output that contain a text."""

from typing import Final

from schemas.events import LogLine

_IN_ASCII: Final = ("\u212a".encode(), "\u0130".encode())
"""The characters outside of ASCII that are in it as small letters: the sign of Kelvin, and a capital i with a dot."""
_ESCAPED: Final = frozenset('"\\/')
"""The characters that JSON may escape, besides those that cannot be printed."""


class Containing:
    """Lines of output with a text, also one that pieces of a line have only together, of one stream or of both. All
    pieces match that follow in the line."""

    def __init__(self, text: str, *, ignore_case: bool, stream: str | None) -> None:
        self._text = text.lower() if ignore_case else text
        self._ignore_case = ignore_case
        self._stream = stream
        self._in_json = self._text.encode() if _is_plain(self._text) else b""
        """What a message with the text contains as bytes."""
        self._before: dict[str, str] = {}
        """The end of an unfinished line, by stream: less than the text."""
        self._found_in: set[str] = set()
        """The streams whose unfinished line has the text."""

    def matches(self, line: LogLine) -> bool:
        """Whether the line has the text in this entry, perhaps together with the piece before it, or in an earlier
        piece. It is called with all entries in their order, except those of messages that cannot match."""
        if not self.is_about(line):
            return False
        shown = line.message.lower() if self._ignore_case else line.message
        shown = self._before.pop(line.stream, "") + shown
        found = self._text in shown or line.stream in self._found_in
        self._found_in.discard(line.stream)
        if line.partial:
            self._before[line.stream] = shown[max(0, len(shown) + 1 - len(self._text)) :]
            if found:
                self._found_in.add(line.stream)
        return found

    def is_about(self, line: LogLine) -> bool:
        """Whether an entry is output of a stream in which the text is looked for."""
        return line.stream != "system" and self._stream in (None, line.stream)

    def may_be_in(self, payload: bytes) -> bool:
        """Whether an entry in a message, which comes next, may match. That is a hundred times faster than decoding it.

        Agents write JSON without spaces, and escape only what they must.
        """
        if self._before or b'"partial":true' in payload:
            return True
        if self._stream is not None and b'"stream":"%b"' % self._stream.encode() not in payload:
            return False
        if not self._ignore_case:
            return self._in_json in payload
        return self._in_json in payload.lower() or any(odd in payload for odd in _IN_ASCII)


def _is_plain(text: str) -> bool:
    """Whether JSON has a text as it is."""
    return text.isascii() and text.isprintable() and _ESCAPED.isdisjoint(text)
