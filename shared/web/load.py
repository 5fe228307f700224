"""How much is being served at once, and the refusal of more.

Here: two counters with their limits: requests being worked on, and requests that only wait (event streams, long
polls), which hold a connection but no database and so have a limit of their own. Not here: counting for
dashboards (`middlewares`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from shared.errors import Overloaded


class Load:
    """The places of one application. Not thread-safe; everything happens on one loop."""

    def __init__(self, *, active_limit: int, waiting_limit: int) -> None:
        self.active = 0
        self.waiting = 0
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
        self.waiting += 1
        self.active -= 1
        try:
            yield
        finally:
            self.waiting -= 1
            self.active += 1


LOAD: Final = web.AppKey("load", Load)


@contextmanager
def waiting(request: web.Request) -> Iterator[None]:
    """Around a handler's long wait (`?wait=`): it then does not count against the requests in flight.

    Raises Overloaded when too many requests wait already.
    """
    with request.app[LOAD].waits():
        yield
