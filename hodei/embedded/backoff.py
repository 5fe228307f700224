"""How long to wait before a process that ended is started again."""

from __future__ import annotations

import time
from typing import Final

FIRST: Final = 0.25
"""Seconds before the first restart."""
LONGEST: Final = 5.0
STEADY: Final = 5.0
"""After a process has run this long, its next restart waits FIRST seconds again."""


class Backoff:
    """The delays of one process: each twice the one before, until the process has run steadily."""

    def __init__(self) -> None:
        self._next = FIRST
        self._begun: float | None = None

    def began(self) -> None:
        """Note that the process runs from now on."""
        self._begun = time.monotonic()

    def delay(self) -> float:
        """Seconds to wait now that the process has ended or could not be started."""
        begun, self._begun = self._begun, None
        if begun is not None and time.monotonic() - begun > STEADY:
            self._next = FIRST
        delay = self._next
        self._next = min(2 * delay, LONGEST)
        return delay
