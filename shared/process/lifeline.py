"""The child's half of the lifeline: a pipe that whoever started us holds open as long as they live.

`HODEI_LIFELINE_FD` names the inherited read end. Nothing is ever written to it: its end means that the starter is
gone, however it died. A thread of its own waits for that, so that a stuck event loop does not keep us alive.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final

VARIABLE: Final = "HODEI_LIFELINE_FD"
EXIT_CODE: Final = 1


def descriptor() -> int | None:
    """The read end that we inherited, to be passed on to children of ours. None when there is none."""
    text = os.environ.get(VARIABLE, "")
    return int(text) if text.isdigit() else None


def watch(ended: Callable[[], None], *, hard_after: float) -> None:
    """Call `ended` once the starter is gone, in another thread, and end the process `hard_after` seconds later.

    Does nothing without a lifeline. `ended` asks for an orderly stop; it must not block.
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
