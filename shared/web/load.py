"""How much is being served at once, the refusal of more, and how what waits learns that the service stops.

Here: two counters with their limits: requests being worked on, and requests that only wait (event streams, long
polls), which hold a connection but no database and so have a limit of their own. Not here: counting for
dashboards (`middlewares`), and when the service stops (`app`).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from aiohttp import web

from shared.errors import Overloaded, Unavailable

LAST_POLL: Final = 0.5
"""Seconds that a long poll takes which begins while the service stops: not none, for its client asks again at once."""


class Load:
    """The places of one application. Not thread-safe; everything happens on one loop."""

    def __init__(self, *, active_limit: int, waiting_limit: int) -> None:
        self.active = 0
        self.waiting = 0
        self.draining = False
        """The service is about to stop: it still answers, and says so."""
        self.last_request = float("-inf")
        """When the last request came, by the clock of `time.perf_counter`."""
        self._polls: set[asyncio.Timeout] = set()
        self._waiters: set[asyncio.Task[Any]] = set()
        self._interrupted: set[asyncio.Task[Any]] = set()
        self._active_limit = active_limit
        self._waiting_limit = waiting_limit

    def enter(self) -> None:
        """Take a working place. Raises Overloaded (429) when there is none."""
        if self.active >= self._active_limit:
            raise Overloaded()
        self.active += 1

    def leave(self) -> None:
        self.active -= 1

    @contextmanager
    def waits(self) -> Iterator[None]:
        """Swap the working place for a waiting one meanwhile. Raises Overloaded when too many wait."""
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
        """As `waits`, around a wait that may as well end early: the block is left when the service stops."""
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
        """The service is about to stop: let all long polls end now."""
        self.draining = True
        for limit in self._polls:
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())

    def interrupt(self) -> None:
        """End what waits and does not end by itself: each request is answered with 503."""
        self._interrupted |= self._waiters
        for task in self._waiters:
            task.cancel()


LOAD: Final = web.AppKey("load", Load)


@contextmanager
def waiting(request: web.Request) -> Iterator[None]:
    """Around a handler's long wait: it then does not count against the requests in flight.

    Raises Overloaded when too many requests wait already, Unavailable when the service stops and cannot wait any more.
    """
    with request.app[LOAD].waits():
        yield


@asynccontextmanager
async def polling(request: web.Request) -> AsyncIterator[None]:
    """As `waiting`, for a wait that a client asked for (`?wait=`). A service that stops ends the block early: answer
    then with what is known (`is_stopping`)."""
    async with request.app[LOAD].polls():
        yield


def is_stopping(request: web.Request) -> bool:
    """Has the service been asked to stop?"""
    return request.app[LOAD].draining
