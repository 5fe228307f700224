"""Where log lines go: a stream whose failures are never those of whoever logs.

A full disk, a closed pipe or an encoding without the character costs lines. They are counted, and the next line that
can be written says how many were lost.
"""

from typing import Final, TextIO

from structlog.typing import EventDict, WrappedLogger

UNWRITABLE: Final = (OSError, ValueError)
"""What writing raises: no room, no reader, an encoding without the character, a closed file."""


class LogOutput:
    """Wraps a text stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost = 0
        """Lines that could not be written since one last could."""

    def write(self, line: str) -> None:
        """Write a line, or count it."""
        try:
            self._stream.write(line)
            self._stream.flush()
        except UNWRITABLE:
            self.lost += 1
        else:
            self.lost = 0

    def flush(self) -> None:
        """Every line is flushed as it is written."""

    def name_lost(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """A structlog processor: say in this line how many before it were lost. (A line of its own could not be logged
        while one is being written: structlog holds a lock then.)"""
        if self.lost:
            event["lines_lost"] = self.lost
        return event
