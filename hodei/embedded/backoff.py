"""The delay before a process that ended is started again."""

from __future__ import annotations

import time
from typing import Final

FIRST: Final = 0.25
"""Seconds before the first restart."""
LONGEST: Final = 5.0
STEADY: Final = 5.0
"""Seconds after which a running process is steady: its next restart waits FIRST seconds again."""


class Backoff:
    """The delays of one process. Each is twice the previous one, until the process has run for STEADY seconds."""

    def __init__(self) -> None:
        self._next = FIRST
        self._begun: float | None = None

    def began(self) -> None:
        """Note that the process runs from now on."""
        self._begun = time.monotonic()

    def delay(self) -> float:
        """Seconds to wait, after the process ended or could not be started."""
        begun, self._begun = self._begun, None
        if begun is not None and time.monotonic() - begun > STEADY:
            self._next = FIRST
        delay = self._next
        self._next = min(2 * delay, LONGEST)
        return delay
