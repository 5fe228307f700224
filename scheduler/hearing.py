"""The time in which workers could be heard: by it, and not by the wall's clock, their leases are counted.

A worker whose heartbeats did not arrive is taken for lost, unless none could arrive: the bus was away or hung, the
database did not let the leader take a turn, or the leader's own process stood still. That silence is no worker's fault
and counts for nothing.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from scheduler.counters import Counters
from shared.bus import Bus
from shared.errors import BusUnavailable, Unavailable
from shared.service import Counts, Loop

TOLERANCE: Final = 3.0
SHARE_OF_LEASE: Final = 5
"""The tolerance is a fifth of a short lease: with the time between two heartbeats it must leave something of it."""
PROOFS: Final = 3
"""How often within the tolerance it is proved that workers can be heard."""

_log = structlog.get_logger(__name__)


class HeardTime:
    """A clock, in seconds, that stops `tolerance` seconds after the last proof until there is a new one.

    `clock` is a monotonic clock that runs always.
    """

    def __init__(self, *, lease: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.tolerance = min(TOLERANCE, lease / SHARE_OF_LEASE)
        self._clock = clock
        self._proved = clock()
        self._heard = 0.0
        """Seconds of hearing until the last proof, and those at the end of the last silence."""
        self._since = 0.0

    def now(self) -> float:
        """Seconds of hearing so far."""
        return self._heard + min(self._clock() - self._proved, self.tolerance)

    def stretch(self) -> float:
        """Seconds of hearing without an interruption, until now; zero during one."""
        return 0.0 if self._clock() - self._proved > self.tolerance else self.now() - self._since

    def prove(self) -> float:
        """Just now a worker could have been heard. Returns the seconds before it that do not count."""
        passed = self._clock() - self._proved
        deaf = max(0.0, passed - self.tolerance)
        self._heard += passed - deaf
        self._proved += passed
        if deaf:
            self._since = self._heard
        return deaf


class Hearing(Loop):
    """Proves again and again that workers can be heard; a service of the leader.

    The bus answers a question, which comes back behind the heartbeats that were sent before, and `turn` gives a turn
    at the desk, behind those that wait for theirs.
    """

    def __init__(self, bus: Bus, heard: HeardTime, turn: Callable[[], Awaitable[None]], counters: Counters) -> None:
        super().__init__("hearing", interval=heard.tolerance / PROOFS)
        self._bus = bus
        self._heard = heard
        self._turn = turn
        self._counters = counters

    async def run_once(self) -> Counts:
        try:
            await self._bus.flush()
            await self._turn()
        except (BusUnavailable, Unavailable) as error:
            _log.debug("scheduler.hears_nothing", error=str(error))
            return {"proofs": 0}
        if deaf := self._heard.prove():
            self._counters.deaf_seconds.inc(deaf)
            _log.warning("scheduler.heard_nothing", seconds=round(deaf, 3))
        return {}
