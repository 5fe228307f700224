"""A thread that is started in advance, for blocking calls: health checks, clean-up, ending processes.

It still works on a machine that cannot start threads any more (pids at their limit).
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

from shared.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")


class Hand:
    """One thread that runs the calls given to it, one after the other. Calls given before `start` wait for it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._started = False

    def start(self) -> None:
        """Start the thread. Raises Unavailable when the machine cannot start one."""
        if self._started:
            return
        try:
            # A call that hangs (a dead network file system) does not keep the process from ending.
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        except RuntimeError as error:
            raise Unavailable(f"a thread of this machine ({error})") from error
        self._started = True

    def close(self) -> None:
        """End the thread once it has run the calls given so far."""
        self._calls.put(None)

    def give(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a call. Returns a future of its result."""
        future = Future[T]()

        def do() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(call(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  # the waiting caller handles it
                future.set_exception(error)

        self._calls.put(do)
        return future

    async def run(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call in the thread, and wait for its result. Raises what the call raises."""
        return await asyncio.wrap_future(self.give(call, *args, **kwargs))

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
