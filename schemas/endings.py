"""The end of a process in words: its exit code, or the signal that ended it by its name."""

import signal
from typing import Final

FIRST_OF_SIGNALS: Final = 128
"""An exit code above this is 128 + N after signal N, as a shell has it."""


def ending_in_words(code: int) -> str:
    """What a process did: `ended with exit code 3`, or `was ended by SIGKILL (9)`.

    `code` is 128 + N after signal N; -N, as Python has it, means the same.
    """
    number = -code if code < 0 else code - FIRST_OF_SIGNALS
    return f"was ended by {signal_in_words(number)}" if number > 0 else f"ended with exit code {code}"


def signal_in_words(number: int) -> str:
    """A signal by its name and number: `SIGKILL (9)`."""
    return f"{_signal_name(number)} ({number})"


def _signal_name(number: int) -> str:
    """SIGRTMIN+1 and the like for those that have no name of their own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        first = signal.SIGRTMIN
        return f"SIGRTMIN+{number - first}" if first < number <= signal.SIGRTMAX else "signal"
