"""Holds what a worker claims to be, in its heartbeats, against what its credentials allow.

NATS makes sure that a worker speaks only as itself; what it may be, its type and its labels, is signed in the JWT that
its heartbeats show (`shared.keys`). Without credentials of the platform's own issuer nothing is checked.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from schemas.agents import Heartbeat
from shared.keys import BOUNDED, BadClaims, Bounds, Credentials, bounds_in

CLOCKS_APART: Final = 300.0
"""Seconds by which the clocks of this service and of the issuer may differ."""
MOST: Final = 20_000
"""Workers whose JWT is kept in memory, so that its signature is verified once."""


class WorkerBounds:
    """`credentials` is the file of this service's own, which names the issuer. Raises ConfigError for an unusable
    one."""

    def __init__(self, credentials: Path | None, *, clock: Callable[[], float] = time.time) -> None:
        own = None if credentials is None else Credentials.read(credentials)
        self._account = own.issuer if own is not None and BOUNDED in own.tags else None
        self._clock = clock
        self._known: OrderedDict[str, tuple[str, Bounds]] = OrderedDict()

    def broken_by(self, heartbeat: Heartbeat) -> str | None:
        """Why this worker may not be what it claims to be, in words; None if it may."""
        if self._account is None:
            return None
        if heartbeat.credentials is None:
            return "it shows no credentials"
        try:
            bounds = self._bounds(heartbeat.worker_id, heartbeat.credentials, self._account)
        except BadClaims as error:
            return str(error)
        if bounds.expiry + CLOCKS_APART <= self._clock():
            return "its credentials have expired"
        broken = bounds.broken_by(heartbeat.type, heartbeat.labels)
        return None if broken is None else f"its credentials do not allow {broken}"

    def _bounds(self, worker_id: str, jwt: str, account: str) -> Bounds:
        known = self._known.get(worker_id)
        if known is not None and known[0] == jwt:
            return known[1]
        bounds = bounds_in(jwt, account=account, worker_id=worker_id)
        self._known[worker_id] = (jwt, bounds)
        self._known.move_to_end(worker_id)
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        return bounds
