"""How many jobs the orchestrator accepts: of those that have not ended, HODEI_LIMIT_JOBS; and some requests at a time.

The number of these jobs is an estimate, so that a submission needs no query: the tables are counted about once a
second, and the jobs that this process has created since are added. What other replicas create between two counts is
missing from it: together, replicas may exceed the limit by what all but one of them create in that time.

Only some submissions are handled at a time, so that they leave connections to the database for everything else.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self

from shared.errors import FieldError, Invalid, Overloaded
from shared.service import Counts, Loop
from shared.web import LimitMetrics, Returns

JOBS: Final = "jobs"
"""The limit's name in metrics."""
INTERVAL: Final = 1.0
"""Seconds between two counts."""
TURN: Final = 4.0
"""Seconds that a submission may wait for its turn: less than for a connection (`shared.postgres`)."""
LARGE_AT_A_TIME: Final = 2
"""Large submissions that are handled at the same time: one is computed while another is written."""
SHARE: Final = 0.05
"""The part of the time that counting may take: with very many jobs, it is done less often."""

Count = Callable[[int], Awaitable[int]]


class JobRoom(Loop):
    """Admits jobs while there is room for them. `count` returns the number of jobs that have not ended, or its argument
    if there are more.

    Schedules and direct executions (`reserved`) may exceed the limit by a tenth, as no client of theirs may be there to
    try again.
    """

    def __init__(self, limit: int, count: Count, metrics: LimitMetrics, *, at_a_time: int, turn: float = TURN) -> None:
        """`at_a_time` is the number of submissions that are handled at the same time; a further one waits for `turn`
        seconds."""
        super().__init__("job-room", interval=INTERVAL)
        self.limit = limit
        self._count = count
        self._counted = 0
        self._since = 0
        """Jobs that this process has created since the last count began."""
        self._under_way = 0
        """Jobs that it is creating, in transactions that are not over."""
        self._returns = Returns(shortest=2.0)
        self._turns = asyncio.Semaphore(at_a_time)
        self._large_turns = asyncio.Semaphore(LARGE_AT_A_TIME)
        self.turn = turn
        self._metrics = metrics
        metrics.watch(JOBS, limit, lambda: self.in_use)

    @property
    def with_reserve(self) -> int:
        """The limit for schedules and direct executions."""
        return self.limit + max(1, self.limit // 10)

    @property
    def in_use(self) -> int:
        """The number of jobs that have not ended: an estimate."""
        return self._counted + self._since + self._under_way

    async def run_once(self) -> Counts:
        """Count the jobs. Returns no counts of work done."""
        before, self._since = self._since, 0
        began = time.perf_counter()
        try:
            self._counted = await self._count(self.with_reserve + 1)
        except BaseException:
            self._since += before
            raise
        self.interval = max(INTERVAL, (time.perf_counter() - began) / SHARE)
        return {}

    def entry(self) -> "Entry":
        """Enclose the transaction that creates jobs. In it, `admit` them before they are made."""
        return Entry(self)

    @asynccontextmanager
    async def submission(self, *, large: bool = False) -> AsyncIterator["Entry"]:
        """As `entry`, for a request: it waits for its turn. Raises Overloaded when that does not come in time. Only two
        `large` ones, which take seconds, have a turn at the same time, so that there are turns left for others."""
        if large:
            async with self._turn_of(self._large_turns), self._turn_of(self._turns), self.entry() as entry:
                yield entry
        else:
            async with self._turn_of(self._turns), self.entry() as entry:
                yield entry

    @asynccontextmanager
    async def _turn_of(self, turns: asyncio.Semaphore) -> AsyncIterator[None]:
        if turns.locked():
            try:
                async with asyncio.timeout(self.turn):
                    await turns.acquire()
            except TimeoutError:
                raise Overloaded(self._returns.next(), kind="submissions") from None
        else:
            await turns.acquire()  # at once
        try:
            yield
        finally:
            turns.release()

    def refused(self) -> None:
        """Count a request that did not come over HTTP and was turned away."""
        self._metrics.turned_away(JOBS)

    def take(self, jobs: int, *, reserved: bool) -> None:
        """Count jobs as being created. Raises Overloaded when there is no room, Invalid when there can never be."""
        if jobs > self.limit:
            says = f"{jobs:,} jobs at once are more than the {self.limit:,} that may exist before they have ended"
            raise Invalid([FieldError(("body",), says, "too_large")])
        if self.in_use + jobs > (self.with_reserve if reserved else self.limit):
            why = f"about {self.in_use:,} jobs have not ended, and the orchestrator accepts at most {self.limit:,}"
            raise Overloaded(self._returns.next(), kind=JOBS, why=why)
        self._under_way += jobs

    def end(self, jobs: int, *, created: bool) -> None:
        """Note that the transaction is over that was to create these jobs."""
        self._under_way -= jobs
        self._since += jobs if created else 0


class Entry:
    """The jobs that one transaction creates."""

    def __init__(self, room: JobRoom) -> None:
        self._room = room
        self._jobs = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._room.end(self._jobs, created=kind is None)

    def admit(self, jobs: int = 1, *, reserved: bool = False) -> None:
        """Make sure that there is room for these jobs. Raises Overloaded when there is none, and Invalid when there can
        never be."""
        self._room.take(jobs, reserved=reserved)
        self._jobs += jobs
