"""The child's half of the lifeline: a pipe that the starter of this process holds open as long as it lives.

`HODEI_LIFELINE_FD` is the inherited read end. Nothing is ever written to it: end of file means that the starter has
exited or died. A separate thread waits for that, so that a blocked event loop does not keep the process alive.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final

VARIABLE: Final = "HODEI_LIFELINE_FD"
EXIT_CODE: Final = 1


def descriptor() -> int | None:
    """The inherited read end, which this process may pass on to its own children. None if there is none."""
    text = os.environ.get(VARIABLE, "")
    return int(text) if text.isdigit() else None


def watch(ended: Callable[[], None], *, hard_after: float) -> None:
    """Call `ended` in another thread once the starter is gone, and end the process `hard_after` seconds later.

    Does nothing without a lifeline. `ended` requests an orderly stop; it must not block.
    """
    pipe = descriptor()
    if pipe is None:
        return

    def wait() -> None:
        while os.read(pipe, 4096):
            pass
        try:
            ended()
        finally:
            threading.Event().wait(hard_after)
            os._exit(EXIT_CODE)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
