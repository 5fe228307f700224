"""Computations that take long run aside: in a thread, one at a time, while the event loop goes on.

One at a time, because several threads of Python would share one processor with the event loop and keep it from running.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Aside:
    """The thread of one process."""

    def __init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()

    async def run(self, compute: Callable[[], T], *, long: bool) -> T:
        """Return what `compute` returns, or raise its error. Only if it takes `long`, it runs in the thread, which
        costs some 100 µs."""
        if not long:
            return compute()
        async with self._one_at_a_time:
            return await asyncio.to_thread(compute)
