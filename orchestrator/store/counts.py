"""How many jobs there are by status, how many were created and ended each minute, and the last runs of a pipeline."""

from datetime import datetime, timedelta
from typing import Final

from schemas.events import EventData, JobCancelled, JobCreated, JobFailed, JobStarted, JobSucceeded
from schemas.rest.statistics import JobCounts
from schemas.states import JobStatus
from shared.outbox import OutboxTransaction
from shared.postgres import Database, load_queries

AT_ONCE: Final = 10_000
"""The most changes that are added up in one transaction."""
MINUTES_KEPT: Final = timedelta(days=90)

_ENDS: Final = {
    JobSucceeded: JobStatus.SUCCEEDED,
    JobFailed: JobStatus.FAILED,
    JobCancelled: JobStatus.CANCELLED,
}


class CountStore:
    """Notes changes in the transactions that make them, and adds them up later: no row is written by all of them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("orchestrator")
        self._note = self._sql["note_job_changes"]

    def note(self, tx: OutboxTransaction) -> None:
        """Note what a transaction that is about to be closed changes, as its events say: `Outbox.before_close`."""
        if changes := _changes(tx.emitted):
            created, by_status = changes
            tx.close_with(self._note, created, *(by_status[status] for status in JobStatus))

    async def counts(self) -> JobCounts:
        """How many jobs have each status."""
        row = await self._database.fetch_one(self._sql["count_jobs"])
        assert row is not None  # the table has one row
        counts = {status: int(row[status.value]) for status in JobStatus}
        return JobCounts(counts=counts, total=sum(counts.values()))

    async def throughput(self, since: datetime, step: timedelta) -> str:
        """How many jobs were created and ended in each span of time, as a JSON array."""
        found: str = await self._database.fetch_value(self._sql["job_throughput"], since, step)
        return found

    async def statistics(self, pipeline_id: str, limit: int) -> str | None:
        """The last runs of a pipeline as JSON; None if it does not exist."""
        found: str | None = await self._database.fetch_value(self._sql["pipeline_statistics"], pipeline_id, limit)
        return found

    async def compact(self) -> int:
        """Add up changes. Returns their number: AT_ONCE if there may be more."""
        if not await self._database.fetch_value(self._sql["any_job_changes"]):
            return 0
        async with self._database.transaction() as tx:
            if not await tx.fetch_value(self._sql["lock_job_counts"]):
                return 0  # another replica does it
            count: int = await tx.fetch_value(self._sql["compact_job_changes"], AT_ONCE)
        return count

    async def recount(self) -> bool:
        """Count all jobs. Returns whether it was done: not while another replica adds up changes.

        Jobs and changes are read by one statement, and each change is committed with what it notes: none is counted
        twice or not at all.
        """
        async with self._database.transaction() as tx:
            if not await tx.fetch_value(self._sql["lock_job_counts"]):
                return False
            await tx.execute(self._sql["recount_jobs"])
        return True

    async def purge(self, page: int) -> int:
        """Delete minutes that are no longer kept."""
        return await self._database.execute(self._sql["purge_job_minutes"], MINUTES_KEPT, page)


def _changes(events: list[EventData]) -> tuple[int, dict[JobStatus, int]] | None:
    """How many jobs these events create, and the differences by status; None if they change nothing."""
    created = 0
    by_status = dict.fromkeys(JobStatus, 0)
    for event in events:
        if isinstance(event, JobCreated):
            created += 1
            by_status[JobStatus.PENDING] += 1
        elif isinstance(event, JobStarted):
            by_status[JobStatus.PENDING] -= 1
            by_status[JobStatus.RUNNING] += 1
        elif isinstance(event, JobSucceeded | JobFailed | JobCancelled):
            by_status[JobStatus.PENDING if event.started_at is None else JobStatus.RUNNING] -= 1
            by_status[_ENDS[type(event)]] += 1
    return (created, by_status) if created or any(by_status.values()) else None
