"""What asks `hodei run` to end: the first signal asks to cancel the job, the second to leave it at once. A pipe on
standard output that nobody reads any more is one, a SIGPIPE."""

import asyncio
import signal
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from hodei.closed_pipe import watched

_ASKING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Notes signals while its block runs. A hang-up is not noted where it was ignored before, as under nohup(1).

    `output` says that the program goes on to write, so that a closed pipe counts.
    """

    def __init__(self, *, output: bool = True) -> None:
        self._output = output
        self._watching = ExitStack()
        self.first: signal.Signals | None = None
        self.asked = asyncio.Event()
        """The job is to be cancelled."""
        self.insisted = asyncio.Event()
        """It is to be left, whatever becomes of it."""
        self._heard = [one for one in _ASKING if signal.getsignal(one) is not signal.SIG_IGN]

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in self._heard:
            loop.add_signal_handler(number, self.note, number)
        if self._output:
            self._watching.enter_context(watched(lambda: self.note(signal.SIGPIPE)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watching.close()
        loop = asyncio.get_running_loop()
        for number in self._heard:
            loop.remove_signal_handler(number)

    def note(self, number: signal.Signals) -> None:
        """Take a signal, or what stands for one: a closed pipe is a SIGPIPE, and no second signal."""
        if self.first is None:
            self.first = number
            self.asked.set()
        elif number is not signal.SIGPIPE:
            self.insisted.set()

    @property
    def exit_code(self) -> int:
        """128 + N, as a shell gives it for what signal N ended."""
        return 128 + (self.first or signal.SIGINT)
