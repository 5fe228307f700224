"""Chooses the lines of a live stream of output that contain a text, piece by piece."""

from collections.abc import AsyncIterator
from typing import Literal

from hodei.remarks import shortened
from schemas.output import Unmatched
from schemas.rest.jobs import JobLogLine


async def matching(
    lines: AsyncIterator[JobLogLine], text: str, stream: Literal["stderr"] | None
) -> AsyncIterator[JobLogLine]:
    """The lines of a live stream that match, perhaps only together with the piece before them, and its remarks. A line
    is shown from its first match on, with the pieces before that."""
    unfinished: dict[tuple[str, str], _Unfinished] = {}
    async for line in lines:
        if line.stream == "system":
            yield line
        elif stream in (None, line.stream):
            key = (line.execution_id, line.stream)
            of_line = unfinished.setdefault(key, _Unfinished(text)) if line.partial else unfinished.pop(key, None)
            for one in (of_line or _Unfinished(text)).with_next(line):
                yield one


class _Unfinished:
    """A line of which more pieces may follow."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._end = ""
        """The end of what was written of the line: less than the text."""
        self._unmatched: Unmatched[JobLogLine] | None = Unmatched()
        """The pieces before the first match; None after it."""

    def with_next(self, piece: JobLogLine) -> list[JobLogLine]:
        """What is to be shown once this piece was written, too."""
        before = self._unmatched
        if before is None:
            return [piece]
        written = self._end + piece.message
        if self._text not in written:
            self._end = written[max(0, len(written) + 1 - len(self._text)) :]
            before.add(piece, piece)
            return []
        self._unmatched = None
        pieces = [*before, piece]
        if before.cut:
            pieces.insert(0, shortened(pieces[0], "the beginning of this line is not shown here"))
        return pieces
