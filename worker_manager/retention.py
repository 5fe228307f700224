"""What the worker manager keeps, and for how long: executions, as long as their job or for a time of their own.

`Deletions` deletes the executions of jobs that the orchestrator reports as deleted, `Executions` those that are too
old, and `Strays` those whose job does not exist although no report of its deletion arrived.
"""

import asyncio
import time
from asyncio import sleep
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Counter

from schemas.cloudevents import CloudEvent
from schemas.events import EventData, JobDeleted
from schemas.ids import LOWEST, first_id_at, id_above
from schemas.questions import MISSING_JOBS, JobsQuestion
from shared.bus import Bus, ask
from shared.clock import now
from shared.retention import REST, REST_FACTOR, Batch
from worker_manager.store.retention import RetentionStore

PAGE: Final = 500
"""Executions that one statement looks at, and the most that one deletes."""
SETTLED: Final = timedelta(days=1)
"""Executions younger than this are not asked about: their job may be about to be made, or have been refused, which
people want to see."""
SWEEP_EVERY: Final = 3600.0
"""Seconds between two searches for executions without a job."""
ANSWER_WITHIN: Final = 5.0

Missing = Callable[[Collection[str]], Awaitable[Collection[str]]]
"""Returns those of these jobs that do not exist. Raises Unavailable when that is not known."""


async def missing_jobs(bus: Bus, job_ids: Collection[str]) -> Collection[str]:
    """Ask the orchestrator which of these jobs do not exist. Raises Unavailable."""
    answer = await ask(bus, MISSING_JOBS, JobsQuestion(job_ids=list(job_ids)), deadline=ANSWER_WITHIN)
    return answer.missing


class Deletions:
    """Handler of `worker-manager-deletions`: deletes the executions of jobs that were deleted."""

    def __init__(self, store: RetentionStore, deleted: Counter) -> None:
        self._store = store
        self._deleted = deleted

    async def handle(self, events: Sequence[CloudEvent[EventData]]) -> None:
        """Delete them a page at a time, with rests. A batch that comes again deletes nothing."""
        jobs = sorted({event.data.job_id for event in events if isinstance(event.data, JobDeleted)})
        clock = asyncio.get_running_loop().time
        while jobs:
            began = clock()
            deleted = await self._store.delete_of_jobs(jobs, PAGE)
            self._deleted.inc(deleted)
            if deleted < PAGE:
                return
            await sleep(max(REST, REST_FACTOR * (clock() - began)))


class Executions:
    """Executions that ended longer ago than `age`; None keeps each as long as its job."""

    name: Final = "executions"

    def __init__(self, store: RetentionStore, *, age: timedelta | None) -> None:
        self.age = age
        self._store = store
        self._after = self._kept_up_to = LOWEST

    async def batch(self) -> Batch:
        if self.age is None:
            return Batch(0, more=False)
        ended_before = now() - self.age
        page = await self._store.page(self._after, id_above(ended_before), ended_before, PAGE)
        old = [one.id for one in page if one.old]
        deleted = await self._store.delete(old) if old else 0
        self._kept_up_to = page[-1].id if page else self._after
        more = len(page) == PAGE
        self._after = self._kept_up_to if more else LOWEST
        return Batch(deleted, more)

    async def oldest(self) -> datetime | None:
        """The end of the first execution after those that were looked at."""
        return None if self.age is None else await self._store.oldest(self._kept_up_to, PAGE)


class Strays:
    """Executions whose job does not exist. Every hour the orchestrator is asked about all of them, a page at a time."""

    name: Final = "executions_without_job"
    age: Final = None

    def __init__(self, store: RetentionStore, missing: Missing, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._missing = missing
        self._clock = clock
        self._after = LOWEST
        self._next = clock()

    async def batch(self) -> Batch:
        if self._clock() < self._next:
            return Batch(0, more=False)
        page = await self._store.page(self._after, first_id_at(now() - SETTLED), None, PAGE)
        jobs = sorted({one.job_id for one in page if one.settled})
        missing = frozenset(await self._missing(jobs)) if jobs else frozenset()
        strays = [one.id for one in page if one.settled and one.job_id in missing]
        deleted = await self._store.delete(strays) if strays else 0
        if len(page) == PAGE:
            self._after = page[-1].id
            return Batch(deleted, more=True)
        self._after, self._next = LOWEST, self._clock() + SWEEP_EVERY
        return Batch(deleted, more=False)

    async def oldest(self) -> datetime | None:
        return None
