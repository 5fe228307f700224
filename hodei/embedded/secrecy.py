"""Keeps other processes of the same user from reading the memory and environment of this one, as services do for
themselves (`shared.process.secrecy`, which this package does not import)."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

PR_SET_DUMPABLE: Final = 4


def hide_process() -> None:
    """Make this process non-dumpable. Does nothing but on Linux, and where the kernel refuses it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
