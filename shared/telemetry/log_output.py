"""Where log lines go: a stream whose failures are never those of whoever logs.

A full disk, a closed pipe or an encoding without the character costs lines. They are counted, and the next line that
can be written says how many were lost.
"""

import atexit
import os
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


def give_up_at_exit(stream: TextIO) -> None:
    """Drop what the stream still cannot write when the process ends: Python tries once more, and would turn the failure
    into the exit code 120."""
    atexit.register(_drop_unwritable, stream)


def _drop_unwritable(stream: TextIO) -> None:
    try:
        stream.flush()
    except UNWRITABLE:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
