"""The output stream of log lines, whose write errors never reach the code that logs.

After a full disk, a closed pipe or an unencodable character, lines are lost and counted. The next line that can be
written carries the number of lost lines.
"""

import atexit
import os
from typing import Final, TextIO

from structlog.typing import EventDict, WrappedLogger

UNWRITABLE: Final = (OSError, ValueError)
"""The errors of writing: a full disk, no reader, an unencodable character, a closed file."""


class LogOutput:
    """Wraps a text stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost = 0
        """Lines lost since the last successful write."""

    def write(self, line: str) -> None:
        """Write a line, or count it as lost."""
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
        """A structlog processor that adds the number of lost lines to this line. (It cannot log a separate line,
        because structlog holds a lock while it writes one.)"""
        if self.lost:
            event["lines_lost"] = self.lost
        return event


def give_up_at_exit(stream: TextIO) -> None:
    """Drop the stream's unwritable buffer at exit. Python flushes once more then, and a failure would make the exit
    code 120."""
    atexit.register(_drop_unwritable, stream)


def _drop_unwritable(stream: TextIO) -> None:
    try:
        stream.flush()
    except UNWRITABLE:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
