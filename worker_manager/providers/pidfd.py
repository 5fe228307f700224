"""Identifies a process by pid, start time and boot, so that a reused pid is never taken for it (Linux).

Here: opening and waiting on pidfds. They work for any process, not only for children, and are never reused while
they are open. Not here: starting anything (`worker_manager.providers.process`).
"""

import asyncio
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
_START_TIME: Final = 19
"""The position of the start time, in clock ticks since the boot, in /proc/<pid>/stat behind the command's name; see
proc_pid_stat(5)."""


def boot_id() -> str:
    """This boot of this machine: process ids and start times mean nothing beyond it."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int | None:
    """When the process was started, in ticks since the boot; None when there is no such process."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat.rpartition(")")[2].split()[_START_TIME])


@contextmanager
def opened(pid: int, started: int) -> Iterator[int | None]:
    """A pidfd of the process with this id that was started then; None when it is gone. It may be a zombie."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        # Checked after opening: from here on the descriptor means this process, also when its pid is reused.
        yield descriptor if start_time(pid) == started else None
    finally:
        os.close(descriptor)


def is_over(descriptor: int) -> bool:
    """Tell whether the process has ended; a zombie has."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


async def ended(descriptor: int) -> None:
    """Wait until the process is over."""
    loop = asyncio.get_running_loop()
    # Two watchers of one process have descriptors of their own, so that neither takes the other's reader away.
    gone = asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)


def exit_code(descriptor: int) -> int | None:
    """The exit code of a child that is over (128 + N after signal N), which is reaped by this; None for other
    processes."""
    with suppress(ChildProcessError):
        result = os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG)
        if result is not None:
            return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status
    return None
