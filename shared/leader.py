"""Leadership: of several replicas of a service, one at a time runs the services that must be alone.

The lock is an advisory lock of PostgreSQL on a connection of its own: whoever holds it leads, and loses it with the
connection. A replica that waits takes over at the moment the lock is free. Losing the lock stops the leader's
services, and the waiting begins anew. What leading means is the service's business.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import structlog

from shared import queries
from shared.database import Database, LockTimeout, Session
from shared.errors import Unavailable
from shared.lifecycle import Service, start_all, stop_all
from shared.metrics import Metrics

LOCK_WAIT: Final = "10s"
PROOF_INTERVAL: Final = 2.0
PROOF_DEADLINE: Final = 4.0
STOP_DEADLINE: Final = 5.0
PAUSE_FIRST: Final = 0.1
PAUSE_MOST: Final = 5.0

_log = structlog.get_logger(__name__)


class Leadership:
    """A service that runs other services while it leads.

    `lock_name` names the role within the database's schema. `services` makes the leader's services anew for each
    term, in the order in which they start; whatever they remember, they read from the tables when they start.
    """

    def __init__(
        self, database: Database, lock_name: str, services: Callable[[], Sequence[Service]], metrics: Metrics
    ) -> None:
        self.name = f"leadership:{lock_name}"
        self._database = database
        self._lock_name = lock_name
        self._services = services
        sql = queries.load("shared")
        self._limit, self._take, self._proof = sql["limit_lock_wait"], sql["take_leadership"], sql["still_here"]
        self._leading = asyncio.Event()
        self._following = asyncio.Event()
        self._following.set()
        self._task: asyncio.Task[None] | None = None
        leads = metrics.gauge("leader", "1 while this process leads in the role, else 0.", ["role"])
        leads.labels(lock_name).set_function(self._leading.is_set)
        terms = metrics.counter("leader_terms_total", "Times this process took over the lead in the role.", ["role"])
        self._terms = terms.labels(lock_name)

    @property
    def leading(self) -> bool:
        """Whether this process leads and its leader services have started."""
        return self._leading.is_set()

    async def led(self) -> None:
        """Wait until this process leads."""
        await self._leading.wait()

    async def lost(self) -> None:
        """Wait until this process does not lead."""
        await self._following.wait()

    async def start(self) -> None:
        """Stand for leadership; returns at once, whoever leads."""
        self._task = asyncio.create_task(self._stand(), name=self.name)

    async def stop(self) -> None:
        """Stop the leader's services, if we lead, and let the lock go."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _stand(self) -> None:
        pause = PAUSE_FIRST
        while True:
            try:
                async with self._database.session() as session:
                    await self._acquire(session)
                    pause = PAUSE_FIRST
                    await self._lead(session)
                _log.warning("leadership.lost", lock=self._lock_name)
            except Unavailable as error:
                _log.warning("leadership.waiting", lock=self._lock_name, error=str(error))
            except Exception:  # noqa: BLE001  # a term that failed must not be the last one this process stands for
                _log.exception("leadership.failed", lock=self._lock_name)
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_MOST)

    async def _acquire(self, session: Session) -> None:
        await session.fetch_value(self._limit, LOCK_WAIT)
        while True:
            with suppress(LockTimeout):  # somebody else leads: go on waiting, with a new snapshot
                await session.fetch(self._take, self._lock_name)
                return

    async def _lead(self, session: Session) -> None:
        """Run the leader's services until the session is lost. Raises what their start raises."""
        started: list[Service] = []
        lost = asyncio.ensure_future(self._until_lost(session))
        starting = asyncio.ensure_future(start_all(self._services(), started))
        try:
            await asyncio.wait({lost, starting}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                self._following.clear()
                self._leading.set()
                self._terms.inc()
                _log.info("leadership.taken", lock=self._lock_name)
                await lost
        finally:
            self._leading.clear()
            for task in (starting, lost):
                task.cancel()
            await asyncio.gather(starting, lost, return_exceptions=True)  # told above, or of no interest any more
            try:
                await stop_all(started, deadline=STOP_DEADLINE)
            finally:
                self._following.set()

    async def _until_lost(self, session: Session) -> None:
        """Return when the server says goodbye, or does not answer any more."""
        while not session.lost.is_set():
            with suppress(TimeoutError):  # nothing heard: ask
                async with asyncio.timeout(PROOF_INTERVAL):
                    await session.lost.wait()
                return
            try:
                async with asyncio.timeout(PROOF_DEADLINE):
                    await session.fetch_value(self._proof)
            except (TimeoutError, Unavailable):
                return
