"""Heard time: leases count only the time in which the scheduler could receive heartbeats.

A worker without heartbeats counts as lost, unless no heartbeat could arrive: NATS was unavailable or hung, the database
did not let the leader take a turn, or the leader's own process was frozen. Leases do not count such times.
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
"""The tolerance is at most a fifth of the lease, so that with the heartbeat interval it stays below a lease."""
PROOFS: Final = 3
"""Proofs within the tolerance."""

_log = structlog.get_logger(__name__)


class HeardTime:
    """A clock, in seconds, that stops `tolerance` seconds after the last proof and continues with the next one.

    `clock` is a monotonic clock that never stops.
    """

    def __init__(self, *, lease: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.tolerance = min(TOLERANCE, lease / SHARE_OF_LEASE)
        self._clock = clock
        self._proved = clock()
        self._heard = 0.0
        """Heard seconds until the last proof; `_since` are those at the end of the last interruption."""
        self._since = 0.0

    def now(self) -> float:
        """Heard seconds so far."""
        return self._heard + min(self._clock() - self._proved, self.tolerance)

    def stretch(self) -> float:
        """Heard seconds since the last interruption; zero during one."""
        return 0.0 if self._clock() - self._proved > self.tolerance else self.now() - self._since

    def prove(self) -> float:
        """Note that a heartbeat could arrive just now. Returns the seconds before that do not count."""
        passed = self._clock() - self._proved
        deaf = max(0.0, passed - self.tolerance)
        self._heard += passed - deaf
        self._proved += passed
        if deaf:
            self._since = self._heard
        return deaf


class Hearing(Loop):
    """Proves repeatedly that heartbeats can arrive; a service of the leader.

    A flush of the bus returns after earlier heartbeats have arrived, and `turn` waits for a turn of the desk, after the
    turns that wait already.
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
