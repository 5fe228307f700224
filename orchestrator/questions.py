"""The questions of other services that the orchestrator answers (`schemas.questions`)."""

from orchestrator.store.jobs import JobStore
from schemas.ids import is_id
from schemas.questions import JobsQuestion, MissingJobs, TaskAnswer, TaskQuestion
from shared.errors import NotFound


class Questions:
    """Answers from the tables; any replica can answer."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs

    async def task(self, asked: TaskQuestion) -> TaskAnswer:
        """The state of a task, and what it waits for. Raises NotFound."""
        found = await self._jobs.describe_task(asked.task_id) if is_id(asked.task_id) else None
        if found is None:
            raise NotFound("task", asked.task_id)
        return TaskAnswer.model_validate(dict(found))

    async def missing_jobs(self, asked: JobsQuestion) -> MissingJobs:
        """Those of these jobs that do not exist."""
        return MissingJobs(missing=await self._jobs.missing([one for one in asked.job_ids if is_id(one)]))
