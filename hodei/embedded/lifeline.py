"""This process's side of the lifeline: a pipe whose write end only this process has.

Child processes inherit the read end, with its number in `HODEI_LIFELINE_FD`. When this process ends, even by SIGKILL,
the children read the end of the pipe and stop.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

VARIABLE: Final = "HODEI_LIFELINE_FD"


class Lifeline:
    """The pipe is open from the beginning. `close` makes all children stop."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()

    @property
    def descriptor(self) -> int:
        """The read end, for child processes to inherit."""
        return self._read_end

    @property
    def environment(self) -> Mapping[str, str]:
        return {VARIABLE: str(self._read_end)}

    def close(self) -> None:
        os.close(self._write_end)
        os.close(self._read_end)
