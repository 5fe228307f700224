"""Keeps a flood of messages from becoming a flood of log lines."""

import time
from collections.abc import Callable
from typing import Final

GAP: Final = 1.0
"""Seconds between two lines."""


class LinePace:
    """The pace of some log lines of one object: at most one in GAP seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = float("-inf")
        self._left_out = 0

    def due(self) -> int | None:
        """Count a line. Returns how many lines before it were left out, or None if this one must be left out, too."""
        moment = self._clock()
        if moment - self._last < GAP:
            self._left_out += 1
            return None
        left_out, self._last, self._left_out = self._left_out, moment, 0
        return left_out
