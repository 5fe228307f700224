"""Whether this program's standard input holds data."""

import array
import fcntl
import os
import select
import stat
import termios


def has_input() -> bool:
    """Whether standard input is a pipe, a socket or a file with bytes to read."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:  # it is closed
        return False
    if stat.S_ISREG(mode):
        return os.lseek(0, 0, os.SEEK_CUR) < os.fstat(0).st_size
    return (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)) and bool(select.select([0], [], [], 0)[0]) and _readable()


def _readable() -> bool:
    """Whether there are bytes to read, not only the end of the stream."""
    waiting = array.array("i", [0])
    fcntl.ioctl(0, termios.FIONREAD, waiting)
    return waiting[0] > 0
