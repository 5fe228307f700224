"""Keeps other processes of the same user out of this one: they cannot read its memory, environment or descriptors.

A command that a worker runs has the user of its agent, and on one machine often that of the services. Without this it
could read their secrets from /proc, or attach a debugger. It is no boundary against root, and none for files: one Unix
user can still read what that user may read.
"""

import ctypes
import os
import sys
from typing import Final

_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4


def hide_process() -> None:
    """Make this process non-dumpable, and without core files. It holds until it executes another program, so that the
    processes that it starts are not hidden: they can still be found by their environment. Does nothing but on Linux."""
    if sys.platform == "linux":
        _prctl(_PR_SET_DUMPABLE, 0)


def is_hidden() -> bool:
    """Whether this process is non-dumpable. For tests."""
    return sys.platform == "linux" and _prctl(_PR_GET_DUMPABLE, 0) == 0


def _prctl(option: int, argument: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.prctl(option, argument, 0, 0, 0)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")
    return result
