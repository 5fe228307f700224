"""The signals that ask `hodei run` to end: the first asks to cancel the job, the second to leave it at once."""

import asyncio
import signal
from types import TracebackType
from typing import Final, Self

_ASKING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Notes signals while its block runs. A hang-up is not noted where it was ignored before, as under nohup(1)."""

    def __init__(self) -> None:
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
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in self._heard:
            loop.remove_signal_handler(number)

    def note(self, number: signal.Signals) -> None:
        """Take a signal, or what stands for one: a closed pipe is a SIGPIPE."""
        if self.first is None:
            self.first = number
            self.asked.set()
        else:
            self.insisted.set()

    @property
    def exit_code(self) -> int:
        """128 + N, as a shell gives it for what signal N ended."""
        return 128 + (self.first or signal.SIGINT)
