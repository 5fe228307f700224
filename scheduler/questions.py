"""The questions of other services that the scheduler answers (`schemas.questions`), besides those of `recall`."""

from scheduler.store.retention import RetentionStore
from schemas.ids import is_id
from schemas.questions import JobsQuestion, ScheduledJobs


class Questions:
    """Answers from the tables."""

    def __init__(self, store: RetentionStore) -> None:
        self._store = store

    async def scheduled_jobs(self, asked: JobsQuestion) -> ScheduledJobs:
        """Those of these jobs that a schedule will run again: the orchestrator keeps them."""
        job_ids = [one for one in asked.job_ids if is_id(one)]
        return ScheduledJobs(scheduled=await self._store.scheduled_jobs(job_ids))
