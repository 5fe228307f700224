"""Detects at once, not at the next write, that the reader of standard output has closed its pipe (`| head -1`)."""

import asyncio
import os
import stat
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from hodei.standard_streams import ClosedOutput

T = TypeVar("T")


@contextmanager
def watched(closed: Callable[[], None]) -> Iterator[None]:
    """Call `closed` once if the pipe's reader closes it during the block. Only a pipe is watched."""
    try:
        descriptor = sys.stdout.fileno()
        is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except (OSError, ValueError):  # it is closed, or not a file at all
        is_pipe = False
    if not is_pipe:
        yield
        return
    loop = asyncio.get_running_loop()

    def over() -> None:
        loop.remove_reader(descriptor)
        closed()

    # The write end of a pipe is never readable: the loop calls back only when the read end is closed.
    loop.add_reader(descriptor, over)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)


async def while_read(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`. If the reader of standard output closes it, cancel `work` and raise ClosedOutput."""
    working = asyncio.create_task(work)
    gone = asyncio.Event()
    with watched(gone.set):
        going = asyncio.create_task(gone.wait())
        try:
            await asyncio.wait({working, going}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise ClosedOutput.without_reader()
            return working.result()
        finally:
            for task in (working, going):
                task.cancel()
            await asyncio.wait({working, going})
