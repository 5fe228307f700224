"""Leadership: of several replicas of a service, one at a time runs the services that must be alone.

The lock is an advisory lock of PostgreSQL on a connection of its own: whoever holds it leads, and loses it with the
connection. A replica that waits takes over at the moment the lock is free. Losing the lock stops the leader's
services, and the waiting begins anew when all of them are over: a process in which one cannot be stopped ends itself,
for no term may run into the next. What leading means is the service's business.
"""

import asyncio
from asyncio import sleep
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog

from shared import queries
from shared.database import Database, LockTimeout, Session
from shared.errors import Unavailable
from shared.lifecycle import Service, StopTimeout, force, start_all, stop_all
from shared.metrics import Metrics

LOCK_WAIT: Final = "10s"
PROOF_INTERVAL: Final = 2.0
PROOF_DEADLINE: Final = 4.0
STOP_DEADLINE: Final = 20.0
"""Seconds for all services of a term: more than two handlers take that hang on a database which does not answer."""
PAUSE_FIRST: Final = 0.1
PAUSE_MOST: Final = 5.0

_log = structlog.get_logger(__name__)


class Leadership:
    """A service that runs other services while it leads.

    `lock_name` names the role within the database's schema. `services` makes the leader's services anew for each
    term, in the order in which they start; whatever they remember, they read from the tables when they start.
    `stop_deadline` is in seconds; `force(reason)` ends the process when a term is not over by then.
    """

    def __init__(
        self,
        database: Database,
        lock_name: str,
        services: Callable[[], Sequence[Service]],
        metrics: Metrics,
        *,
        stop_deadline: float = STOP_DEADLINE,
        force: Callable[[str], object] = force,
    ) -> None:
        self.name = f"leadership:{lock_name}"
        self._database = database
        self._lock_name = lock_name
        self._services = services
        self._stop_deadline = stop_deadline
        self._force = force
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
        """Stop the leader's services, if we lead, and let the lock go. Raises StopTimeout."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()

    async def _stand(self) -> None:
        pause = PAUSE_FIRST
        while True:
            try:
                async with self._database.session() as session:
                    await self._acquire(session)
                    if await self._lead(session):
                        pause = PAUSE_FIRST  # a term that cannot even start is tried ever more seldom
                _log.warning("leadership.lost", lock=self._lock_name)
            except StopTimeout as error:
                if self._task is not None:
                    self._force(f"leadership:{self._lock_name}: {error}")
                raise
            except Unavailable as error:
                _log.warning("leadership.waiting", lock=self._lock_name, error=str(error))
            except Exception:  # noqa: BLE001  # a term that failed must not be the last one this process stands for
                _log.exception("leadership.failed", lock=self._lock_name)
            await sleep(pause)
            pause = min(pause * 2, PAUSE_MOST)

    async def _acquire(self, session: Session) -> None:
        await session.fetch_value(self._limit, LOCK_WAIT)
        while True:
            with suppress(LockTimeout):  # somebody else leads: go on waiting, with a new snapshot
                await session.fetch(self._take, self._lock_name)
                return

    async def _lead(self, session: Session) -> bool:
        """Run the leader's services until the session is lost; whether they started. Raises what their start raises."""
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
            return self._leading.is_set()
        finally:
            self._leading.clear()
            await _whole(self._end(started, starting, lost))

    async def _end(self, started: list[Service], *begun: "asyncio.Future[None]") -> None:
        """Stop all that has started. Raises StopTimeout."""
        for task in begun:
            task.cancel()
        _, late = await asyncio.wait(begun, timeout=self._stop_deadline)
        for task in begun:
            if task.done() and not task.cancelled():
                task.exception()  # told already, or of no interest any more
        await stop_all(started, deadline=self._stop_deadline)
        if late:
            raise StopTimeout(f"a start did not end within {self._stop_deadline:g} s")
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


async def _whole(work: Coroutine[Any, Any, None]) -> None:
    """Await what must not be left half done: being cancelled meanwhile waits for its end. Raises what it raises."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        await asyncio.wait({task})
        task.result()
        raise
    task.result()
