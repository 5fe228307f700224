"""Requests to end `hodei run`: the first signal asks to cancel the job, a later one to leave it at once.

An output that can no longer be written counts as a first signal. One Ctrl-C may arrive as several signals: the terminal
sends it to the whole process group, and a shell or timeout(1) that gets it passes it on. So signals that closely follow
the first one count as the same request.
"""

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from hodei.closed_pipe import watched
from hodei.standard_streams import ClosedOutput

SAME_REQUEST: Final = 0.5
"""Seconds after the first signal in which further signals count as the same request."""
_ASKING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Notes signals while its block runs. SIGHUP is not noted if it was ignored before, as under nohup(1).

    With `output`, a closed pipe of standard output counts as a request. `clock` returns seconds.
    """

    def __init__(self, *, output: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._clock = clock
        self._asked_at = 0.0
        self._watching = ExitStack()
        self.first: signal.Signals | None = None
        """The first signal; None before it, and if the first request was an output that cannot be written."""
        self._closed: ClosedOutput | None = None
        self.asked = asyncio.Event()
        """Set when the job should be cancelled."""
        self.insisted = asyncio.Event()
        """Set when the program should leave the job, whatever its state."""
        self._heard = [one for one in _ASKING if signal.getsignal(one) is not signal.SIG_IGN]

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in self._heard:
            loop.add_signal_handler(number, self.note, number)
        if self._output:
            self._watching.enter_context(watched(lambda: self.note_closed(ClosedOutput.without_reader())))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watching.close()
        loop = asyncio.get_running_loop()
        for number in self._heard:
            loop.remove_signal_handler(number)

    def note(self, number: signal.Signals) -> None:
        """Note a signal."""
        if not self.asked.is_set():
            self.first = number
            self._ask()
        elif self._clock() - self._asked_at >= SAME_REQUEST:
            self.insisted.set()

    def note_closed(self, error: ClosedOutput) -> None:
        """Note a closed output. A closed pipe counts as SIGPIPE, and only as the first signal."""
        if not self.asked.is_set():
            self._closed = error
            self.first = signal.SIGPIPE if error.broken_pipe else None
            self._ask()

    def _ask(self) -> None:
        self._asked_at = self._clock()
        self.asked.set()

    @property
    def output_failed(self) -> bool:
        """Whether the first request was an output that could not be written."""
        return self._closed is not None

    @property
    def again(self) -> str:
        """What makes the program leave the job at once."""
        return "a second Ctrl-C" if self.first is signal.SIGINT else "a second signal"

    @property
    def why(self) -> str:
        """The beginning of a sentence that names the closed output; empty after a signal."""
        if self._closed is None:
            return ""
        return f"{self._closed.stream} was closed: " if self._closed.broken_pipe else f"{self._closed}: "
