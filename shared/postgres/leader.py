"""Leadership: of several replicas of a service, one at a time runs the services that must be alone.

The lock is an advisory lock of PostgreSQL on a connection of its own: whoever holds it leads, and loses it with the
connection. A replica that waits takes over at the moment the lock is free. Losing the lock stops the leader's
services, and the waiting begins anew when all of them are over: a process in which one cannot be stopped ends itself,
for no term may run into the next. What leading means is the service's business.

A process that hangs keeps its connection, so the lock is a lease as well: the leader asks something of its session
every half second, PostgreSQL notes when, and a standby that sees no sign for some seconds has PostgreSQL end that
session. The old leader learns of it when it wakes; what it writes until then must be fenced by what it leads (the
scheduler's epoch). A leader that could not do its work gives no sign, and a standby that could not either takes nothing
over: `fit` tells.
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
"""Seconds without a sign of life, after which a standby ends the leader's session: with looking and starting, others
lead within five."""
LOOK_INTERVAL: Final = 0.5
LOOK_DEADLINE: Final = 2.0
STOP_DEADLINE: Final = 20.0
"""Seconds for all services of a term: more than two handlers take that hang on a database which does not answer."""
PAUSE_FIRST: Final = 0.1
PAUSE_MOST: Final = 5.0
PAUSE_WHILE_AWAY: Final = 0.5
"""Seconds between two attempts while the database is away: nobody tells when it is back."""

_log = structlog.get_logger(__name__)


class Leadership:
    """A service that runs other services while it leads.

    `lock_name` names the role within the database's schema. `services` makes the leader's services anew for each
    term, in the order in which they start; whatever they remember, they read from the tables when they start.
    `stop_deadline` is in seconds; `force(reason)` ends the process when a term is not over by then. `fit` tells whether
    this process could do a leader's work now.
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
            while not self._fit():  # noqa: ASYNC110  # a term could not even start, and nobody tells when it could
                await asyncio.sleep(LOOK_INTERVAL)
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
                pause = min(pause, PAUSE_WHILE_AWAY)
            except Exception:  # noqa: BLE001  # a term that failed must not be the last one this process stands for
                _log.exception("leadership.failed", lock=self._lock_name)
            await sleep(pause)
            pause = min(pause * 2, PAUSE_MOST)

    async def _acquire(self, session: Session) -> None:
        await session.fetch_value(self._limit, LOCK_WAIT)
        watching = asyncio.create_task(self._watch(), name=f"{self.name} watch")
        try:
            while True:
                with suppress(LockTimeout):  # somebody else leads: go on waiting, with a new snapshot
                    await session.fetch(self._take, self._lock_name)
                    return
        finally:
            watching.cancel()
            await asyncio.wait({watching})

    async def _watch(self) -> None:
        """While another process leads, end its session when it falls silent.

        Two looks, shortly one after the other, must find the same old sign: after a pause of the database, or of this
        process, the leader is given the time to speak first.
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
            except Exception as error:  # noqa: BLE001  # who cannot look cannot judge; the lock itself is waited for
                _log.info("leadership.not_watched", lock=self._lock_name, error=str(error) or type(error).__name__)
                sign = None
            before, looked_at = sign, clock()

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
        """Give signs of life; return when the server says goodbye, or does not answer any more."""
        while not session.lost.is_set():
            with suppress(TimeoutError):  # nothing heard: ask
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
    """Await what must not be left half done: being cancelled meanwhile waits for its end. Raises what it raises."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        await asyncio.wait({task})
        task.result()
        raise
    task.result()
