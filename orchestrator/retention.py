"""What the orchestrator keeps, and for how long: jobs by age and by number, timelines by age.

Each kind walks through the jobs in the order of their ids, which is the order of their creation, a page at a time.
Every statement reads and deletes a bounded number of rows; `shared.retention` rests between them.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from orchestrator.store.retention import JobDue, RetentionStore
from orchestrator.unit_of_work import UnitOfWork
from schemas.ids import HIGHEST, LOWEST, id_above
from schemas.questions import SCHEDULED_JOBS, JobsQuestion
from shared.bus import Bus, ask
from shared.clock import now
from shared.retention import Batch

PAGE: Final = 500
"""Jobs that one statement looks at."""
JOBS_AT_ONCE: Final = 100
TASKS_AT_ONCE: Final = 2000
"""The most jobs, and about the most tasks, that one transaction deletes; a single job may have more."""
COUNTED_AT_ONCE: Final = 20_000


ANSWER_WITHIN: Final = 5.0

Scheduled = Callable[[Collection[str]], Awaitable[Collection[str]]]
"""Returns those of these jobs that a schedule will run again. Raises Unavailable when that is not known."""


async def scheduled_jobs(bus: Bus, job_ids: Collection[str]) -> Collection[str]:
    """Ask the scheduler which of these jobs a schedule will run again. Raises Unavailable."""
    answer = await ask(bus, SCHEDULED_JOBS, JobsQuestion(job_ids=list(job_ids)), deadline=ANSWER_WITHIN)
    return answer.scheduled


class Jobs:
    """Jobs that have ended: those older than `age`, and those beyond the newest `most`. The newest `keep` jobs of each
    pipeline that is not archived stay whatever their age (None keeps all of them), and so do jobs that a schedule will
    run again.

    A batch deletes the first jobs that are due after the last one that it looked at. A pass ends with the last job that
    can be due, and the next begins with the oldest job.
    """

    name: Final = "jobs"

    def __init__(
        self,
        store: RetentionStore,
        work: UnitOfWork,
        scheduled: Scheduled,
        *,
        age: timedelta | None,
        most: int | None,
        keep: int | None,
    ) -> None:
        self.age = age
        self._store = store
        self._work = work
        self._scheduled = scheduled
        self._most = most
        self._keep = 2**31 - 1 if keep is None else keep
        self._after = self._kept_up_to = LOWEST
        """The last job that this pass looked at; that of the pass before."""
        self._below = LOWEST
        self._ended_before: datetime | None = None
        self._to_count = most or 0
        """How many of the newest jobs are still to be counted, those with ids below `_counted_to`, before a pass."""
        self._counted_to = HIGHEST

    async def batch(self) -> Batch:
        if self.age is None and self._most is None:
            return Batch(0, more=False)
        if self._to_count:
            await self._count()
            return Batch(0, more=True)
        if self._after == LOWEST:
            self._ended_before = None if self.age is None else now() - self.age
        bounds = [self._below, *([] if self._ended_before is None else [id_above(self._ended_before)])]
        page = await self._store.jobs(
            self._after,
            max(bounds),
            ended_before=self._ended_before,
            below=self._below,
            keep=self._keep,
            limit=PAGE,
        )
        chosen, whole = _choose(page)
        needed = set(await self._scheduled(chosen)) if chosen else set()
        unneeded = [one for one in chosen if one not in needed]
        deleted = await self._work.delete(unneeded, cause="retention") if unneeded else []
        if whole and len(page) < PAGE:
            self._kept_up_to, self._after = page[-1].id if page else self._after, LOWEST
            self._to_count, self._counted_to = self._most or 0, HIGHEST
            return Batch(len(deleted), more=False)
        self._kept_up_to = self._after = page[-1].id if whole else chosen[-1]
        return Batch(len(deleted), more=True)

    async def oldest(self) -> datetime | None:
        """The end of the first job after those that were looked at: the ones before it are deleted, or kept for their
        pipeline."""
        return await self._store.oldest_job(self._kept_up_to, PAGE)

    async def _count(self) -> None:
        """Count some of the newest `most` jobs that have ended. At the end, `_below` is the oldest of them, or LOWEST
        if there are not as many."""
        asked = min(self._to_count, COUNTED_AT_ONCE)
        count, self._counted_to = await self._store.newest_over(self._counted_to, asked)
        self._to_count = self._to_count - count if count == asked else 0
        if self._to_count == 0:
            self._below = self._counted_to if count == asked else LOWEST


class Timelines:
    """Timelines of jobs that ended longer ago than `age`; None keeps each as long as its job."""

    name: Final = "timelines"

    def __init__(self, store: RetentionStore, *, age: timedelta | None) -> None:
        self.age = age
        self._store = store
        self._after = self._kept_up_to = LOWEST

    async def batch(self) -> Batch:
        if self.age is None:
            return Batch(0, more=False)
        ended_before = now() - self.age
        page = await self._store.timelines(self._after, id_above(ended_before), ended_before=ended_before, limit=PAGE)
        chosen, whole = _choose(page)
        if chosen:
            await self._store.delete_timelines(chosen)
        if whole and len(page) < PAGE:
            self._kept_up_to, self._after = page[-1].id if page else self._after, LOWEST
            return Batch(len(chosen), more=False)
        self._kept_up_to = self._after = page[-1].id if whole else chosen[-1]
        return Batch(len(chosen), more=True)

    async def oldest(self) -> datetime | None:
        """The end of the first job after those that were looked at, which have no timeline any more."""
        return None if self.age is None else await self._store.oldest_job(self._kept_up_to, PAGE)


def _choose(page: Sequence[JobDue]) -> tuple[list[str], bool]:
    """The ids of the jobs of a page that are deleted now, and whether these are all that are due."""
    chosen: list[str] = []
    tasks = 0
    for job in page:
        if not job.due:
            continue
        if chosen and (len(chosen) == JOBS_AT_ONCE or tasks + job.tasks > TASKS_AT_ONCE):
            return chosen, False
        chosen.append(job.id)
        tasks += job.tasks
    return chosen, True
