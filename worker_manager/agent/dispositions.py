"""Signal handling that commands inherit: the defaults, even if the agent was started by `nohup` or a shell's `&`."""

import signal
from types import FrameType


def catch_ignored() -> None:
    """Give every ignored signal an empty handler, which exec resets to the default. Call it in the main thread only.

    The agent itself still ignores these signals. SIGPIPE, which Python ignores, is left to Popen, which restores it.
    """
    for number in signal.valid_signals() - {signal.SIGPIPE}:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _nothing)


def unblock_all() -> None:
    """Unblock every signal in this thread. Threads and processes that it starts inherit the empty mask."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal by doing nothing."""
