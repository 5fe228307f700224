"""Limits the requests in progress, and ends waiting requests when the service stops.

Here: two counters with their limits: active requests, and requests that only wait (event streams, long polls). The
latter hold a client's connection but no database connection, so they have their own limit. Not here: metrics
(`middlewares`), and when the service stops (`app`).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from aiohttp import web

from shared.errors import Overloaded, Unavailable

LAST_POLL: Final = 0.5
"""Seconds that a long poll waits if it begins while the service stops. Not 0, as the client asks again at once."""


class Load:
    """The requests in progress of one application. Not thread-safe; everything runs on one event loop."""

    def __init__(self, *, active_limit: int, waiting_limit: int) -> None:
        self.active = 0
        self.waiting = 0
        self.draining = False
        """Whether the service is about to stop; it still answers requests."""
        self.last_request = float("-inf")
        """When the last request arrived, by `time.perf_counter`."""
        self._polls: set[asyncio.Timeout] = set()
        self._waiters: set[asyncio.Task[Any]] = set()
        self._interrupted: set[asyncio.Task[Any]] = set()
        self._active_limit = active_limit
        self._waiting_limit = waiting_limit

    def enter(self) -> None:
        """Count an active request. Raises Overloaded (429) at the limit."""
        if self.active >= self._active_limit:
            raise Overloaded()
        self.active += 1

    def leave(self) -> None:
        self.active -= 1

    @contextmanager
    def waits(self) -> Iterator[None]:
        """Count the current request as waiting instead of active in this block. Raises Overloaded when too many wait,
        Unavailable when `interrupt` ends the wait."""
        if self.waiting >= self._waiting_limit:
            raise Overloaded(5)
        task = asyncio.current_task()
        assert task is not None
        self.waiting += 1
        self.active -= 1
        self._waiters.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if task in self._interrupted and task.uncancel() == 0:
                raise Unavailable("this service, which is stopping,") from None
            raise
        finally:
            self._waiters.discard(task)
            self._interrupted.discard(task)
            self.waiting -= 1
            self.active += 1

    @asynccontextmanager
    async def polls(self) -> AsyncIterator[None]:
        """As `waits`, for a wait that may end early: the block ends, without an error, when the service stops."""
        with self.waits():
            try:
                async with asyncio.timeout(LAST_POLL if self.draining else None) as limit:
                    self._polls.add(limit)
                    try:
                        yield
                    finally:
                        self._polls.discard(limit)
            except TimeoutError:
                if not limit.expired():
                    raise

    def drain(self) -> None:
        """Note that the service is about to stop, and end all long polls."""
        self.draining = True
        for limit in self._polls:
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())

    def interrupt(self) -> None:
        """Cancel all requests that still wait; each gets 503."""
        self._interrupted |= self._waiters
        for task in self._waiters:
            task.cancel()


LOAD: Final = web.AppKey("load", Load)


@contextmanager
def waiting(request: web.Request) -> Iterator[None]:
    """Use around a handler's long wait: the request then counts as waiting, not as active.

    Raises Overloaded when too many requests wait already, Unavailable when the service stops during the wait.
    """
    with request.app[LOAD].waits():
        yield


@asynccontextmanager
async def polling(request: web.Request) -> AsyncIterator[None]:
    """As `waiting`, for a wait that a client requested (`?wait=`). The block ends early when the service stops; the
    handler then answers with the current state (`is_stopping`)."""
    async with request.app[LOAD].polls():
        yield


def is_stopping(request: web.Request) -> bool:
    """Whether the service is about to stop."""
    return request.app[LOAD].draining
