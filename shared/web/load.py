"""Limits the requests in progress, and ends waiting requests when the service stops.

Here: counters with their limits: requests in progress, and those that only wait (event streams, long polls). The latter
hold a client's connection but no database connection, so they have limits of their own. Not here: metrics
(`middlewares`), and when the service stops (`app`).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from aiohttp import web

from shared.errors import Overloaded, Unavailable
from shared.web.guard import GUARD

LAST_POLL: Final = 0.5
"""Seconds that a long poll waits if it begins while the service stops. Not 0, as the client asks again at once."""
RETURNS_PER_SECOND: Final = 100
"""How many clients that were turned away may come back in one second. A refusal costs about a fifth of a request, so
that these take a few percent of a core."""
LONGEST_RETURN: Final = 30.0
"""The longest time in seconds after which a client is asked to come back."""


class RequestKind(StrEnum):
    """What a request does, as far as the limits differ. The values are labels of metrics."""

    SUBMISSION = "submissions"
    """It creates something, or defines a pipeline."""
    READ = "reads"
    OTHER = "requests"
    """It cancels, deletes, decides, drains and the like."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most requests that one process handles at the same time."""

    requests: int = 500
    """Requests in progress. Submissions take at most half of them; reads, together with submissions, at most nine
    tenths. The rest is reserved for other requests, so that a cancellation passes whatever else is going on."""
    streams: int = 500
    """Open event streams."""
    waiting: int = 500
    """Requests that wait for something to happen, such as long polls."""

    @property
    def submissions(self) -> int:
        """The most submissions in progress."""
        return max(1, self.requests // 2)

    @property
    def reads(self) -> int:
        """The number of requests in progress at which a read is turned away."""
        return max(1, self.requests * 9 // 10)


class Returns:
    """Decides when the clients that are turned away may come back: evenly, so that their next requests do not arrive
    together."""

    def __init__(self, shortest: float = 1.0) -> None:
        self._shortest = shortest
        self._last = float("-inf")

    def next(self) -> float:
        """Seconds for the next client that is turned away."""
        moment = time.monotonic()
        last = max(self._last + 1 / RETURNS_PER_SECOND, moment + self._shortest)
        self._last = min(last, moment + LONGEST_RETURN)
        return self._last - moment


class Load:
    """The requests in progress of one application. Not thread-safe; everything runs on one event loop."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.active = 0
        """Requests in progress, without those that wait."""
        self.submissions = 0
        """The submissions among them."""
        self.waiting = 0
        self.streams = 0
        self.draining = False
        """Whether the service is about to stop; it still answers requests."""
        self.last_request = float("-inf")
        """When the last request arrived, by `time.perf_counter`."""
        self._polls: set[asyncio.Timeout] = set()
        self._waiters: set[asyncio.Task[Any]] = set()
        self._interrupted: set[asyncio.Task[Any]] = set()
        self._returns = Returns()
        self._returns_of_waits = Returns(shortest=5.0)
        self._most = {
            RequestKind.SUBMISSION: limits.reads,
            RequestKind.READ: limits.reads,
            RequestKind.OTHER: limits.requests,
        }

    def enter(self, kind: RequestKind) -> None:
        """Count an active request. Raises Overloaded (429) at the limit for its kind."""
        submits = kind is RequestKind.SUBMISSION
        if self.active >= self._most[kind] or (submits and self.submissions >= self.limits.submissions):
            raise Overloaded(self._returns.next(), kind=kind.value)
        self.active += 1
        self.submissions += submits

    def leave(self, kind: RequestKind) -> None:
        self.active -= 1
        self.submissions -= kind is RequestKind.SUBMISSION

    @contextmanager
    def waits(self, kind: RequestKind = RequestKind.READ) -> Iterator[None]:
        """Count the current request, of this kind, as waiting instead of active in this block. Raises Overloaded when
        too many wait, Unavailable when `interrupt` ends the wait."""
        if self.waiting >= self.limits.waiting:
            raise self._too_many("waiting_requests", "too many requests wait already")
        self.waiting += 1
        self.leave(kind)
        try:
            with self._interruptible():
                yield
        finally:
            self.waiting -= 1
            self.active += 1
            self.submissions += kind is RequestKind.SUBMISSION

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count the current request, a read, as an open stream instead of active in this block. Raises Overloaded when
        too many are open, Unavailable when `interrupt` ends it."""
        if self.streams >= self.limits.streams:
            raise self._too_many("streams", "too many event streams are open already")
        self.streams += 1
        self.active -= 1
        try:
            with self._interruptible():
                yield
        finally:
            self.streams -= 1
            self.active += 1

    def _too_many(self, kind: str, why: str) -> Overloaded:
        return Overloaded(self._returns_of_waits.next(), kind=kind, why=why)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None
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
KIND: Final = web.RequestKey("kind", RequestKind)
"""What a request in progress counts as."""


@contextmanager
def waiting(request: web.Request) -> Iterator[None]:
    """Use around a handler's long wait: the request then counts as waiting, not as active.

    Raises Overloaded when too many requests wait already, Unavailable when the service stops during the wait.
    """
    with request.app[LOAD].waits(request.get(KIND, RequestKind.READ)):
        yield


@asynccontextmanager
async def polling(request: web.Request) -> AsyncIterator[None]:
    """As `waiting`, for a wait that a client requested (`?wait=`). The block ends early when the service stops; the
    handler then answers with the current state (`is_stopping`). Raises Unauthorized if the request's token is not valid
    any more after the wait."""
    async with request.app[LOAD].polls():
        yield
    request.app[GUARD].check_again(request)


def is_stopping(request: web.Request) -> bool:
    """Whether the service is about to stop."""
    return request.app[LOAD].draining
