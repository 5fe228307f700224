"""Identifies a process by pid, start time and boot, so that a reused pid is never taken for it (Linux).

This module opens pidfds and waits on them. They work for any process, not only for children, and are never reused while
they are open. `worker_manager.providers.process` starts processes.
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
    """The id of this boot of the machine. Process ids and start times are valid within one boot only."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int | None:
    """When the process was started, in clock ticks since the boot; None when it does not exist."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat.rpartition(")")[2].split()[_START_TIME])


@contextmanager
def opened(pid: int, started: int) -> Iterator[int | None]:
    """A pidfd of the process with this id and start time; None when it is gone. The process may be a zombie."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        # The check comes after the opening: from here on the descriptor means this process, even if its pid is reused.
        yield descriptor if start_time(pid) == started else None
    finally:
        os.close(descriptor)


def is_over(descriptor: int) -> bool:
    """Whether the process has exited; true for a zombie."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


async def ended(descriptor: int) -> None:
    """Wait for the process's exit."""
    loop = asyncio.get_running_loop()
    # Each watcher of a process opens its own descriptor, so that one does not remove the other's reader.
    gone = asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)


def exit_code(descriptor: int) -> int | None:
    """The exit code of a child that has exited (128 + N after signal N); None for other processes. It reaps the
    child."""
    with suppress(ChildProcessError):
        result = os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG)
        if result is not None:
            return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status
    return None
