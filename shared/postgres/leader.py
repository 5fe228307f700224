"""Leader election: of several replicas of a service, one at a time runs the services that must run alone.

The lock is an advisory lock of PostgreSQL on a separate connection. The replica that holds it leads, and loses it with
the connection. A standby takes over as soon as the lock is free. A leader that loses the lock stops its leader services
and stands for election again when all of them have stopped. If one cannot be stopped, the process ends itself, because
terms must not overlap. Each service defines what its leader does.

A hung process keeps its connection, so the lock is a lease as well. The leader runs a query on its session every half
second, and PostgreSQL records the time. A standby that sees no such query for some seconds has PostgreSQL end the
session. The old leader notices when it wakes; its writes until then must be fenced by other means (the scheduler's
epoch). While `fit` returns False, a leader runs no such queries, and a standby does not take over.
"""

import asyncio
from asyncio import sleep
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog

from shared.errors import Unavailable
from shared.postgres.database import Database
from shared.postgres.errors import LockTimeout
from shared.postgres.queries import load_queries
from shared.postgres.transaction import Session
from shared.service import Service, StopTimeout, force, start_all, stop_all
from shared.telemetry import Metrics

LOCK_WAIT: Final = "10s"
SIGN_INTERVAL: Final = 0.5
SIGN_DEADLINE: Final = 4.0
SILENCE: Final = 3.0
"""Seconds without a sign of life after which a standby ends the leader's session. With the time for checks and the
start, a new leader leads within five."""
LOOK_INTERVAL: Final = 0.5
LOOK_DEADLINE: Final = 2.0
STOP_DEADLINE: Final = 20.0
"""Seconds to stop all services of a term: longer than two handlers that wait for an unresponsive database."""
PAUSE_FIRST: Final = 0.1
PAUSE_MOST: Final = 5.0
PAUSE_WHILE_AWAY: Final = 0.5
"""Seconds between two attempts while the database is unavailable, as its return is not signalled."""

_log = structlog.get_logger(__name__)


class Leadership:
    """A service that runs other services while it leads.

    `lock_name` is the role within the database's schema. `services` makes new leader services for each term, in start
    order; they load their state from the tables when they start. `stop_deadline` is in seconds; `force(reason)` ends
    the process when a term has not ended by then. `fit` returns whether this process can do a leader's work now.
    """

    def __init__(
        self,
        database: Database,
        lock_name: str,
        services: Callable[[], Sequence[Service]],
        metrics: Metrics,
        *,
        fit: Callable[[], bool] = lambda: True,
        stop_deadline: float = STOP_DEADLINE,
        force: Callable[[str], object] = force,
    ) -> None:
        self.name = f"leadership:{lock_name}"
        self._database = database
        self._lock_name = lock_name
        self._services = services
        self._fit = fit
        self._stop_deadline = stop_deadline
        self._force = force
        sql = load_queries("shared.postgres")
        self._limit, self._take, self._sign = sql["limit_lock_wait"], sql["take_leadership"], sql["sign_of_life"]
        self._look, self._end_session = sql["leader_sign"], sql["end_session"]
        self._leading = asyncio.Event()
        self._following = asyncio.Event()
        self._following.set()
        self._task: asyncio.Task[None] | None = None
        leads = metrics.gauge("leader", "1 while this process is the leader of the role, else 0.", ["role"])
        leads.labels(lock_name).set_function(self._leading.is_set)
        terms = metrics.counter("leader_terms_total", "Times this process became the leader of the role.", ["role"])
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
        """Stand for election. Returns at once, before the result."""
        self._task = asyncio.create_task(self._stand(), name=self.name)

    async def stop(self) -> None:
        """Stop the leader services, if this process leads, and release the lock. Raises StopTimeout."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()

    async def _stand(self) -> None:
        pause = PAUSE_FIRST
        while True:
            while not self._fit():  # noqa: ASYNC110  # a term could not start, and there is no event for when it could
                await asyncio.sleep(LOOK_INTERVAL)
            try:
                async with self._database.session() as session:
                    await self._acquire(session)
                    if await self._lead(session):
                        pause = PAUSE_FIRST  # terms that fail to start are retried with growing pauses
                _log.warning("leadership.lost", lock=self._lock_name)
            except StopTimeout as error:
                if self._task is not None:
                    self._force(f"leadership:{self._lock_name}: {error}")
                raise
            except Unavailable as error:
                _log.warning("leadership.waiting", lock=self._lock_name, error=str(error))
                pause = min(pause, PAUSE_WHILE_AWAY)
            except Exception:  # noqa: BLE001  # after a failed term, this process must stand for election again
                _log.exception("leadership.failed", lock=self._lock_name)
            await sleep(pause)
            pause = min(pause * 2, PAUSE_MOST)

    async def _acquire(self, session: Session) -> None:
        await session.fetch_value(self._limit, LOCK_WAIT)
        watching = asyncio.create_task(self._watch(), name=f"{self.name} watch")
        try:
            while True:
                with suppress(LockTimeout):  # another process leads: keep waiting, with a new snapshot
                    await session.fetch(self._take, self._lock_name)
                    return
        finally:
            watching.cancel()
            await asyncio.wait({watching})

    async def _watch(self) -> None:
        """While another process leads, end its session when its signs of life stop.

        Two successive checks must find the same old sign, so that after a pause of the database or of this process the
        leader gets the time for a new sign first.
        """
        clock = asyncio.get_running_loop().time
        before: tuple[object, ...] | None = None
        looked_at = clock()
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            try:
                async with asyncio.timeout(LOOK_DEADLINE):
                    holder = await self._database.fetch_one(self._look, self._lock_name, SILENCE)
                    late = clock() - looked_at > LOOK_INTERVAL + LOOK_DEADLINE
                    sign = None if holder is None else (holder["pid"], holder["backend_start"], holder["sign"])
                    if holder and sign and holder["silent"] and sign == before and not late and self._fit():
                        _log.warning("leadership.silent", lock=self._lock_name, pid=holder["pid"])
                        await self._database.fetch(self._end_session, *sign)
            except Exception as error:  # noqa: BLE001  # the wait for the lock goes on without this check
                _log.info("leadership.not_watched", lock=self._lock_name, error=str(error) or type(error).__name__)
                sign = None
            before, looked_at = sign, clock()

    async def _lead(self, session: Session) -> bool:
        """Run the leader services until the session is lost. Returns whether they started. Raises errors of their
        start."""
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
        """Stop all services that have started. Raises StopTimeout."""
        for task in begun:
            task.cancel()
        _, late = await asyncio.wait(begun, timeout=self._stop_deadline)
        for task in begun:
            if task.done() and not task.cancelled():
                task.exception()  # marks it as retrieved: it is already raised, or does not matter any more
        await stop_all(started, deadline=self._stop_deadline)
        if late:
            raise StopTimeout(f"a start did not end within {self._stop_deadline:g} s")
        self._following.set()

    async def _until_lost(self, session: Session) -> None:
        """Give signs of life. Returns when the server ends the session or does not answer any more."""
        while not session.lost.is_set():
            with suppress(TimeoutError):  # the session is not known to be lost: give a sign of life
                async with asyncio.timeout(SIGN_INTERVAL):
                    await session.lost.wait()
                return
            if not self._fit():
                continue
            try:
                async with asyncio.timeout(SIGN_DEADLINE):
                    await session.fetch_value(self._sign)
            except (TimeoutError, Unavailable):
                return


async def _whole(work: Coroutine[Any, Any, None]) -> None:
    """Await work that must complete: a cancellation is raised only after its end. Raises the errors of `work`."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        await asyncio.wait({task})
        task.result()
        raise
    task.result()
