"""What commands inherit of signals: the defaults, whoever started the agent (`nohup`, a shell's `&`)."""

import signal
from types import FrameType


def catch_ignored() -> None:
    """Give every ignored signal an empty handler, which exec resets to the default. Only in the main thread.

    The agent goes on ignoring them. SIGPIPE, which Python ignores itself, is what Popen restores.
    """
    for number in signal.valid_signals() - {signal.SIGPIPE}:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _nothing)


def unblock_all() -> None:
    """Unblock every signal in this thread. Threads and processes that it starts inherit the empty mask."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal by doing nothing."""
