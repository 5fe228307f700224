"""Our half of the lifeline: a pipe whose write end only we hold.

Children inherit the read end and its number in `HODEI_LIFELINE_FD`; when we die, even by -9, they read its end
and stop. What they do then is their business.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

VARIABLE: Final = "HODEI_LIFELINE_FD"


class Lifeline:
    """Open from the beginning; `close` lets go of everyone who holds on to it."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()

    @property
    def descriptor(self) -> int:
        """To be passed on to children."""
        return self._read_end

    @property
    def environment(self) -> Mapping[str, str]:
        return {VARIABLE: str(self._read_end)}

    def close(self) -> None:
        os.close(self._write_end)
        os.close(self._read_end)
