"""Workers that were started anew while something was placed on them: first the outcomes, then the loss.

A new start of a worker knows nothing of what the one before ran, and its heartbeat comes on core NATS: it may be heard
before an outcome that lies in the stream already. So such a heartbeat waits here until the outcomes that were stored
when it came have been handled. What has none then is lost. Without a backlog that takes a round trip to NATS.

Not here: which heartbeats have to wait (`Desk.leaves_behind`), and what a restart means for what was placed there.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from schemas.agents import Heartbeat
from shared.errors import Unavailable
from shared.service import Counts, Loop

MOST: Final = 600.0
"""Seconds between two looks where nothing waits."""

_log = structlog.get_logger(__name__)


class Restarts(Loop):
    """Holds heartbeats back; a service of the leader.

    `caught_up(seconds)` waits for the outcomes that are stored by now, no longer than that, and tells whether they were
    handled. `hear` takes a heartbeat at last. `patience` is in seconds: no more than a lease, for that of the start
    before ends then in any case.
    """

    def __init__(
        self,
        caught_up: Callable[[float], Awaitable[bool]],
        hear: Callable[[Heartbeat], Awaitable[None]],
        *,
        patience: float,
    ) -> None:
        super().__init__("restarts", interval=MOST)
        self._caught_up = caught_up
        self._hear = hear
        self._patience = patience
        self._held: dict[str, Heartbeat] = {}

    def hold(self, beat: Heartbeat) -> None:
        """Keep a worker's heartbeat, its latest one, until the outcomes are read."""
        self._held[beat.worker_id] = beat
        self.wake()

    async def run_once(self) -> Counts:
        held, self._held = self._held, {}
        if not held:
            return {}
        if not await self._caught_up(self._patience):
            _log.warning("worker.restarts_unread", count=len(held), seconds=self._patience)
        for beat in held.values():
            try:
                await self._hear(beat)
            except Unavailable as error:  # its next heartbeat comes soon
                _log.info("worker.restart_unheard", worker_id=beat.worker_id, error=str(error))
            except Exception:  # noqa: BLE001  # one worker's heartbeat holds up no other
                _log.exception("worker.restart_failed", worker_id=beat.worker_id)
        return {"heard": len(held)}
