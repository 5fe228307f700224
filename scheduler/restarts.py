"""Restarted workers with placed executions: their stored outcomes are handled before executions become lost.

A restarted agent does not know what its former incarnation ran. Its heartbeat comes on core NATS, so it may arrive
before an outcome that is already in the stream. Such a heartbeat waits here until the outcomes that were stored when it
arrived have been handled. Executions without an outcome then are lost. Without a backlog this takes a round trip to
NATS.

Not here: which heartbeats must wait (`Desk.leaves_behind`), and what a restart means for placed executions (`leases`).
"""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from schemas.agents import Heartbeat
from shared.errors import Unavailable
from shared.service import Counts, Loop

MOST: Final = 600.0
"""Seconds between two runs while no heartbeat waits."""

_log = structlog.get_logger(__name__)


class Restarts(Loop):
    """Holds heartbeats back; a service of the leader.

    `caught_up(seconds)` waits at most so long for the outcomes that are stored by now, and returns whether they were
    handled. `hear` then handles a heartbeat. `patience` is in seconds, at most a lease, because the former
    incarnation's lease runs out by then in any case.
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
        """Keep a worker's latest heartbeat until the outcomes are handled."""
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
            except Exception:  # noqa: BLE001  # one worker's heartbeat must not hold up others
                _log.exception("worker.restart_failed", worker_id=beat.worker_id)
        return {"heard": len(held)}
