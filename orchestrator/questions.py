"""The questions of other services that the orchestrator answers (`schemas.questions`)."""

from orchestrator.refusals import detail_of, errors_of, reason_of
from orchestrator.store.jobs import JobStore
from orchestrator.submission import Submission
from schemas.ids import is_id
from schemas.questions import JobsQuestion, MissingJobs, TargetAnswer, TargetQuestion, TaskAnswer, TaskQuestion
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.postgres import Database


class Questions:
    """Answers from the tables; any replica can answer."""

    def __init__(self, database: Database, jobs: JobStore, submission: Submission) -> None:
        self._database = database
        self._jobs = jobs
        self._submission = submission

    async def task(self, asked: TaskQuestion) -> TaskAnswer:
        """The state of a task, and what it waits for. Raises NotFound."""
        found = await self._jobs.describe_task(asked.task_id) if is_id(asked.task_id) else None
        if found is None:
            raise NotFound("task", asked.task_id)
        wait = await self._jobs.key_wait(found["job_id"]) if found["waits"] else None
        return TaskAnswer.model_validate({**found, "waiting_for": None if wait is None else wait.summary})

    async def missing_jobs(self, asked: JobsQuestion) -> MissingJobs:
        """Those of these jobs that do not exist."""
        return MissingJobs(missing=await self._jobs.missing([one for one in asked.job_ids if is_id(one)]))

    async def target(self, asked: TargetQuestion) -> TargetAnswer:
        """Whether a job can be made of a schedule's target."""
        try:
            async with self._database.transaction() as tx:
                await self._submission.of_target(tx, asked.target)
        except (NotFound, Forbidden, Conflict, Invalid) as error:
            return TargetAnswer(reason=reason_of(error), detail=detail_of(error), errors=errors_of(error))
        return TargetAnswer()
