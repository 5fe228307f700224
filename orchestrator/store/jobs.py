"""Jobs as they are made, listed, shown and deleted. How running ones change is in `runs`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from pydantic_core import to_json

from orchestrator.domain.definition import StepRules, TaskDefinition
from orchestrator.domain.making import NewJob
from orchestrator.domain.state import TaskState
from orchestrator.domain.wanted import FormerJob, FormerTask
from orchestrator.store.timeline import timeline_rows
from schemas.ids import first_id_at, id_above, is_id
from schemas.rest.jobs import JobQuery
from schemas.specs import Resources, RetrySpec, RunSpec
from schemas.states import JobStatus, TaskStatus
from shared.errors import NotFound
from shared.outbox import OutboxTransaction
from shared.postgres import Database, Page, Record, Runner, Transaction, load_queries, narrowed, sparse

_FILTERS: Final = (
    *("status", "pipeline_id", "name", "priority", "rerun_of", "schedule_id", "reason", "pipeline_version", "short_id"),
)
_IDS: Final = ("pipeline_id", "rerun_of", "schedule_id")


class JobStore:
    """Jobs and what belongs to them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("orchestrator")

    def insert(self, tx: OutboxTransaction, jobs: Sequence[NewJob]) -> None:
        """Write new jobs with their tasks and timelines when the transaction ends; their ids must be new."""
        tx.close_with(self._sql["insert_jobs"], *_rows(jobs))

    async def insert_missing(self, tx: Transaction, jobs: Sequence[NewJob]) -> set[str]:
        """Write those jobs that are not there already, with their tasks and timelines; returns their ids."""
        return set(await tx.fetch_value(self._sql["insert_jobs"], *_rows(jobs)))

    async def get(self, job_id: str) -> str | None:
        """One job with its tasks and their executions, as JSON."""
        row = await self._database.fetch_one(self._sql["get_job"], job_id)
        return None if row is None else f'{row["job"][:-1]},{row["shared"][1:-1]},"tasks":{row["tasks"]}}}'

    async def status(self, job_id: str) -> JobStatus:
        """One job's status. Raises NotFound."""
        status: str | None = await self._database.fetch_value(self._sql["get_job_status"], job_id)
        if status is None:
            raise NotFound("job", job_id)
        return JobStatus(status)

    async def describe_task(self, task_id: str) -> Record | None:
        """One task by its id alone: the fields of `schemas.questions.TaskAnswer`."""
        return await self._database.fetch_one(self._sql["describe_task"], task_id)

    async def find(self, query: JobQuery, before: str | None) -> Page:
        """A page of jobs, newest first."""
        values = {name: getattr(query, name) for name in _FILTERS}
        if not all(values[name] is None or is_id(values[name]) for name in _IDS):
            return Page([], None)  # what is no id names nothing, so nothing belongs to it
        below = None if query.created_before is None else id_above(query.created_before)
        times = (query.created_after, query.created_before, below)
        normal = True if query.priority == "normal" else None
        values["priority"] = None if normal else query.priority
        sql, arguments = narrowed(
            self._sql["list_jobs"], before, *values.values(), query.labels() or None, *times, normal, query.limit + 1
        )
        return Page.of(await self._database.fetch(sql, *arguments), query.limit)

    async def executions(self, job_id: str) -> list[Record]:
        """A job's executions in the order of their start, those that have not begun last: id, attempt, status,
        log_chunks, log_truncated, started_at, finished_at, and task, position and depends_on of the step."""
        return await self._database.fetch(self._sql["get_job_executions"], job_id)

    async def over_before(self, status: JobStatus, moment: datetime, limit: int) -> dict[str, list[str]]:
        """The oldest jobs of a final status that were over before `moment`: the ids of their executions, by job."""
        rows = await self._database.fetch(
            self._sql["jobs_over_before"], status.value, moment, first_id_at(moment), limit
        )
        return {row["id"]: row["executions"] for row in rows}

    async def delete(self, tx: Transaction, job_ids: Sequence[str]) -> None:
        """Delete jobs and what belongs to them."""
        for part in ("delete_executions", "delete_tasks", "delete_timeline", "delete_jobs"):
            await tx.execute(self._sql[part], job_ids)

    async def former(self, on: Runner, job_id: str) -> FormerJob | None:
        """What a job was made of and what became of it."""
        if not is_id(job_id):
            return None
        job = await on.fetch_one(self._sql["get_job_to_rerun"], job_id)
        if job is None:
            return None
        rows = await on.fetch(self._sql["get_tasks_to_rerun"], job_id)
        return FormerJob(
            name=job["name"],
            over=job["status"] in ("succeeded", "failed", "cancelled"),
            pipeline_id=job["pipeline_id"],
            pipeline_version=job["pipeline_version"],
            archived=job["archived"],
            priority=job["priority"],
            env=job["env"],
            params=job["params"],
            labels=job["labels"],
            timeout=job["timeout"],
            tasks=[_former_task(row) for row in rows],
        )


def columns(rows: Sequence[Sequence[object]], width: int) -> list[list[object]]:
    """Rows as the arrays that `unnest` takes, `width` of them; a column without a value is an empty array."""
    if not rows:
        return [[] for _ in range(width)]
    return [sparse(list(column)) for column in zip(*rows, strict=True)]


def _rows(jobs: Sequence[NewJob]) -> list[list[object]]:
    """The parameters of `insert_jobs`."""
    return [
        *columns([_job_row(job) for job in jobs], 19),
        *columns([row for job in jobs for row in _task_rows(job)], 22),
        *columns(timeline_rows((job.run.job.id, job.run.journal) for job in jobs), 2),
    ]


def _job_row(new: NewJob) -> tuple[object, ...]:
    job, wanted = new.run.job, new.wanted
    return (
        job.id,
        job.name,
        job.status.value,
        job.reason.value if job.reason else None,
        job.pipeline_id,
        wanted.pipeline_version,
        job.priority,
        _object(wanted.env),
        _object(wanted.params),
        _object(wanted.labels),
        wanted.timeout,
        wanted.run_at,
        new.deadline,
        wanted.rerun_of,
        wanted.schedule_id,
        job.created_at,
        job.finished_at,
        job.traceparent,
        job.tracestate,
    )


def _task_rows(new: NewJob) -> list[tuple[object, ...]]:
    job_id = new.run.job.id
    return [
        (job_id, task.id, position, *_definition_columns(new.definitions[task.id]), *_state_columns(task))
        for position, task in enumerate(new.run.tasks.values())
    ]


def _definition_columns(task: TaskDefinition) -> tuple[object, ...]:
    rules = task.rules
    return (
        rules.name,
        _json(rules.depends_on),
        rules.allow_failure,
        rules.retry.model_dump_json() if rules.retry else None,
        rules.retry_on_lost,
        rules.max_crashes,
        task.run.model_dump_json(),
        _object(rules.requires),
        rules.resources.model_dump_json() if rules.resources else None,
        rules.queue_timeout,
    )


def _state_columns(task: TaskState) -> tuple[object, ...]:
    return (
        task.status.value,
        task.reason.value if task.reason else None,
        task.attempt,
        task.exit_code,
        task.execution_id,
        task.run_at,
        task.queued_at,
        task.started_at,
        task.finished_at,
    )


def rules_of(row: Record) -> StepRules:
    """The rules of a task's step."""
    return StepRules(
        name=row["name"],
        depends_on=tuple(row["depends_on"] or ()),
        allow_failure=row["allow_failure"],
        retry=RetrySpec.model_validate(row["retry"]) if row["retry"] else None,
        retry_on_lost=row["retry_on_lost"],
        max_crashes=row["max_crashes"],
        requires=row["requires"] or {},
        resources=Resources.model_validate(row["resources"]) if row["resources"] else None,
        queue_timeout=row["queue_timeout"],
    )


def _former_task(row: Record) -> FormerTask:
    return FormerTask(
        TaskDefinition(rules_of(row), RunSpec.model_validate(row["run"])),
        TaskStatus(row["status"]),
        row["exit_code"],
        row["queued_at"],
        row["started_at"],
        row["finished_at"],
    )


def _json(value: object) -> str:
    return to_json(value).decode()


def _object(value: Mapping[str, str] | None) -> str:
    return to_json(value).decode() if value else "{}"
