"""Jobs: inserted, listed, shown and deleted. `runs` writes the changes of running ones."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Final

import orjson

from orchestrator.domain.definition import TaskDefinition
from orchestrator.domain.making import NewJob
from orchestrator.domain.wanted import FormerJob, FormerTask
from orchestrator.store.claims import HOLDERS, key_wait
from orchestrator.store.declared import read_declared
from orchestrator.store.filters import filter_values
from orchestrator.store.firings import KEPT
from orchestrator.store.rules import RULES, rules_of
from orchestrator.store.tables import NEW_JOBS, NEW_TASKS, TIMELINE, new_tasks
from orchestrator.store.timeline import timeline_rows
from schemas.concurrency import ConcurrencySpec
from schemas.events import ScheduleFinished
from schemas.ids import id_above, is_id
from schemas.rest.concurrency import KeyWait
from schemas.rest.job_filters import JobFilter, JobQuery
from schemas.rest.lists import PageQuery
from schemas.specs import RunSpec
from schemas.states import JobStatus, Reason, TaskStatus
from schemas.steps import Decision
from shared.errors import NotFound
from shared.outbox import OutboxTransaction
from shared.postgres import (
    Call,
    Database,
    Page,
    Record,
    Runner,
    Transaction,
    UnknownParameter,
    load_queries,
    narrowed_by,
    with_rows,
)


@dataclass(frozen=True, slots=True)
class Selected:
    """One of many jobs that a request is about."""

    id: str
    status: JobStatus
    created_by: str | None
    """The id of the token that submitted it."""
    stopping: bool
    """Whether it is being stopped, or was."""


class _Within:
    """A query within another one, whose parameters are still to be given."""

    width: Final = 0

    def __init__(self, query: str) -> None:
        self._query = query

    def text(self, part: str, first: int) -> str:  # noqa: ARG002
        """See `shared.postgres.Described`: the only part is `listed`."""
        if part != "listed":
            raise UnknownParameter(f"a query within another one has no part {part!r}")
        return self._query


class JobStore:
    """Jobs and their tasks, executions and timelines."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("orchestrator")
        self._insert = with_rows(self._sql["insert_jobs"], jobs=NEW_JOBS, tasks=NEW_TASKS, timeline=TIMELINE)
        self._count_listed = with_rows(self._sql["count_listed_jobs"], jobs=_Within(_unordered(self._sql["list_jobs"])))
        self._get = with_rows(self._sql["get_job"], rules=RULES)
        self._tasks_to_rerun = with_rows(self._sql["get_tasks_to_rerun"], rules=RULES)

    def insert(self, tx: OutboxTransaction, jobs: Sequence[NewJob]) -> None:
        """Insert new jobs with their tasks and timelines when the transaction commits. Their ids must be new."""
        tx.close_with(self._insert, *_rows(jobs))

    async def insert_missing(self, tx: Transaction, jobs: Sequence[NewJob]) -> set[str]:
        """Insert those jobs that do not exist yet, with their tasks and timelines. Returns their ids."""
        return set(await tx.fetch_value(self._insert, *_rows(jobs)))

    async def finished_again(self, on: Runner, job_ids: Sequence[str]) -> list[ScheduleFinished]:
        """The events of the ends of those of these jobs of schedules that are over."""
        rows = await on.fetch(self._sql["get_ends"], job_ids)
        return [ScheduleFinished.model_validate(dict(row)) for row in rows]

    async def get(self, job_id: str) -> str | None:
        """One job with its tasks and their executions, as JSON."""
        row = await self._database.fetch_one(self._get, job_id)
        if row is None:
            return None
        wait = await self.key_wait(job_id) if row["waits"] else None
        told = "null" if wait is None else wait.model_dump_json()
        return f'{row["job"][:-1]},{row["shared"][1:-1]},"key_wait":{told},"tasks":{row["tasks"]}}}'

    async def key_wait(self, job_id: str) -> KeyWait | None:
        """What a job waits for before it begins; None if it does not wait."""
        row = await self._database.fetch_one(self._sql["describe_wait"], job_id, HOLDERS)
        return None if row is None else key_wait(row)

    async def get_alone(self, job_id: str) -> str:
        """One job without its tasks, as JSON. Raises NotFound."""
        body: str | None = await self._database.fetch_value(self._sql["get_job_alone"], job_id)
        if body is None:
            raise NotFound("job", job_id)
        return body

    async def status(self, job_id: str) -> JobStatus:
        """One job's status. Raises NotFound."""
        status: str | None = await self._database.fetch_value(self._sql["get_job_status"], job_id)
        if status is None:
            raise NotFound("job", job_id)
        return JobStatus(status)

    async def exists(self, on: Runner, job_id: str) -> bool:
        """Whether there is a job with this id."""
        return await on.fetch_value(self._sql["get_job_status"], job_id) is not None

    async def count_open(self, at_most: int) -> int:
        """How many jobs have not ended; `at_most` if there are more."""
        count: int = await self._database.fetch_value(self._sql["count_open_jobs"], at_most)
        return count

    async def missing(self, job_ids: Sequence[str]) -> list[str]:
        """The ids of those of these jobs that do not exist."""
        return [row["id"] for row in await self._database.fetch(self._sql["missing_jobs"], job_ids)]

    async def describe_task(self, task_id: str) -> Record | None:
        """One task by its id alone: the fields of `schemas.questions.TaskAnswer`."""
        return await self._database.fetch_one(self._sql["describe_task"], task_id)

    async def job_of_task(self, task_id: str) -> str | None:
        """The id of a task's job; None when there is no such task."""
        job_id: str | None = await self._database.fetch_value(self._sql["job_of_task"], task_id)
        return job_id

    async def count_approvals(self) -> tuple[int, datetime | None]:
        """How many approvals wait for a decision, and since when the oldest does."""
        row = await self._database.fetch_one(self._sql["count_approvals"])
        return (0, None) if row is None else (row["count"], row["since"])

    async def find_approvals(self, query: PageQuery, before: str | None) -> Page:
        """A page of the approvals that wait for a decision, newest first."""
        values = {"before": before, "limit": query.limit + 1}
        sql, arguments = narrowed_by(self._sql["list_approvals"], values)
        return Page.of(await self._database.fetch(sql, *arguments), query.limit)

    async def find(self, query: JobQuery, before: str | None) -> Page:
        """A page of jobs, newest first."""
        return Page.of(await self._newest(query, before, query.limit + 1), query.limit)

    async def selected(
        self, given: JobFilter, before: str | None, limit: int, *, unstopped: bool = False
    ) -> list[Selected]:
        """The newest jobs that match, with ids below `before`; with `unstopped`, none that is being stopped."""
        return [_selected(row) for row in await self._newest(given, before, limit, unstopped=unstopped)]

    async def selected_by_id(self, job_ids: Collection[str]) -> list[Selected]:
        """Those of these jobs that exist, the newest first."""
        rows = await self._database.fetch(self._sql["get_jobs_alone"], list(job_ids))
        return [_selected(row) for row in rows]

    async def count_selected(self, given: JobFilter, before: str | None, limit: int, *, unstopped: bool = False) -> int:
        """How many jobs `selected` would find, up to `limit`."""
        calls = await self._calls(self._count_listed, given, before, limit, unstopped=unstopped)
        counts: list[int] = [row["count"] for row in await self._database.fetch_planned(*calls)]
        return min(sum(counts), limit)

    async def _newest(
        self, given: JobFilter, before: str | None, limit: int, *, unstopped: bool = False
    ) -> list[Record]:
        """The rows of the newest jobs that match."""
        calls = await self._calls(self._sql["list_jobs"], given, before, limit, unstopped=unstopped)
        rows = await self._database.fetch_planned(*calls)
        return sorted(rows, key=itemgetter("id"), reverse=True)[:limit]

    async def _calls(
        self, query: str, given: JobFilter, before: str | None, limit: int, *, unstopped: bool
    ) -> list[Call]:
        """The query, once for each group of jobs that is found through another index."""
        more = {"unstopped": unstopped or None, "before": before, "limit": limit}
        parts = filter_values(given, await self._pipelines(given.pipeline))
        return [narrowed_by(query, values | more) for values in parts]

    async def logs_of(self, job_ids: Collection[str], logs_since: datetime) -> list[str]:
        """The executions of these jobs that did not end before `logs_since`."""
        rows = await self._database.fetch(self._sql["executions_with_logs"], list(job_ids), logs_since)
        return [row["id"] for row in rows]

    async def _pipelines(self, given: str | None) -> list[str] | None:
        """The ids of the pipelines with this id or name; None if none is given."""
        if given is None or is_id(given.lower()):
            return None if given is None else [given.lower()]
        return [row["id"] for row in await self._database.fetch(self._sql["pipelines_named"], given)]

    async def executions(self, job_id: str) -> list[Record]:
        """A job's executions in the order of their start, those that have not begun last: id, attempt, status,
        log_chunks, log_truncated, started_at, finished_at, and task (the step's name), matrix, index, position and
        depends_on of its task."""
        return await self._database.fetch(self._sql["get_job_executions"], job_id)

    async def has_step(self, job_id: str, name: str) -> bool:
        """Whether a job has a step of this name."""
        found: bool = await self._database.fetch_value(self._sql["has_step"], job_id, name)
        return found

    async def over_before(
        self,
        status: JobStatus,
        moment: datetime,
        labels: Mapping[str, str],
        *,
        after: str,
        logs_since: datetime,
        limit: int,
    ) -> dict[str, list[str]]:
        """The oldest jobs, in the order of their ids, with an id above `after`, a final status and these labels that
        ended before `moment`: by job id, the ids of their executions that did not end before `logs_since`."""
        values = _over_before(status, moment, labels, limit) | {"after": after, "logs_since": logs_since}
        sql, arguments = narrowed_by(self._sql["jobs_over_before"], values)
        return {row["id"]: row["executions"] for row in await self._database.fetch(sql, *arguments)}

    async def count_over_before(
        self, status: JobStatus, moment: datetime, labels: Mapping[str, str], limit: int
    ) -> int:
        """How many jobs `over_before` would find; `limit` if there are more."""
        sql, arguments = narrowed_by(self._sql["count_jobs_over_before"], _over_before(status, moment, labels, limit))
        count: int = await self._database.fetch_value(sql, *arguments)
        return count

    async def delete(self, tx: Transaction, job_ids: Collection[str], *, skip_locked: bool = False) -> list[str]:
        """Delete those of these jobs that have ended, with their tasks, executions and timelines. Returns their ids.
        With `skip_locked`, a job that another transaction has locked is left out."""
        lock = "lock_jobs_to_purge" if skip_locked else "lock_jobs_to_delete"
        # The rows of a job are written under its lock: read after it, none of them is missed.
        found = [row["id"] for row in await tx.fetch(self._sql[lock], list(job_ids))]
        if found:
            await tx.execute(self._sql["delete_jobs"], found, KEPT)
        return found

    async def former(self, on: Runner, job_id: str) -> FormerJob | None:
        """A job's definition and outcome; None when it does not exist."""
        if not is_id(job_id):
            return None
        job = await on.fetch_one(self._sql["get_job_to_rerun"], job_id)
        if job is None:
            return None
        rows = await on.fetch(self._tasks_to_rerun, job_id)
        return FormerJob(
            name=job["name"],
            over=job["status"] in ("succeeded", "failed", "cancelled"),
            pipeline_id=job["pipeline_id"],
            pipeline_version=job["pipeline_version"],
            archived=job["archived"],
            priority=job["priority"],
            env=job["env"],
            params=job["params"],
            declared=read_declared(job["declared"]),
            labels=job["labels"],
            timeout=job["timeout"],
            cleanup_timeout=job["cleanup_timeout"],
            key_template=job["key_template"],
            concurrency=None if job["concurrency"] is None else ConcurrencySpec.model_validate(job["concurrency"]),
            tasks=[_former_task(row) for row in rows],
            created_by=job["created_by"],
        )


def _unordered(query: str) -> str:
    """The query without its order: for a count, it would only cost a sort, or a slower scan."""
    return "\n".join(line for line in query.splitlines() if not line.startswith("order by"))


def _selected(row: Record) -> Selected:
    job = orjson.loads(row["body"])
    return Selected(job["id"], JobStatus(job["status"]), (job["created_by"] or {}).get("id"), row["stopping"])


def _over_before(status: JobStatus, moment: datetime, labels: Mapping[str, str], limit: int) -> dict[str, object]:
    return {
        "status": status.value,
        "before": moment,
        "below": id_above(moment),
        "labels": dict(labels) or None,
        "limit": limit,
    }


def _rows(jobs: Sequence[NewJob]) -> list[list[object]]:
    """The arguments of `insert_jobs`."""
    return [
        *NEW_JOBS.arrays(jobs),
        *NEW_TASKS.arrays([task for job in jobs for task in new_tasks(job)]),
        *TIMELINE.arrays(timeline_rows(job.run for job in jobs)),
    ]


def _former_task(row: Record) -> FormerTask:
    return FormerTask(
        TaskDefinition(rules_of(row), None if row["run"] is None else RunSpec.model_validate(row["run"])),
        status=TaskStatus(row["status"]),
        reason=None if row["reason"] is None else Reason(row["reason"]),
        detail=row["detail"],
        exit_code=row["exit_code"],
        outputs=row["outputs"],
        decision=None if row["decision"] is None else Decision.model_validate(row["decision"]),
        queued_at=row["queued_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )
