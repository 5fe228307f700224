"""Running jobs: loaded under their lock, changed by the domain, written back set-based, all in one transaction."""

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from orchestrator.domain.environment import merged, of_attempt
from orchestrator.domain.executions import ExecutionRow
from orchestrator.domain.run import Entry, JobRun, JobState, Queued, TaskState
from orchestrator.store.jobs import columns
from orchestrator.store.memory import RunMemory
from orchestrator.store.timeline import timeline_rows
from orchestrator.traces import Traces
from schemas.events import EventData, TaskQueued
from schemas.questions import Overdue
from schemas.specs import Priority, Resources, RetrySpec, RunSpec
from schemas.states import JobStatus, Reason, TaskStatus
from shared.outbox import OutboxTransaction
from shared.postgres import Database, Record, Transaction, load_queries

REMIND_BYTES: Final = 8 << 20
"""What the orders of one round of reminders may carry, about: all of them are in memory at the same time."""


@dataclass(frozen=True, slots=True)
class Command:
    """What `tasks.queued` carries beyond the state of the task."""

    name: str
    job_name: str
    priority: Priority
    run: RunSpec
    shared: Mapping[str, str]
    """What the tasks of its job have in common, parameters included; the environment of `run` is laid over it."""
    requires: Mapping[str, str]
    resources: Resources | None
    queue_timeout: float | None

    def queued(self, job_id: str, queued: Queued, *, tracestate: str | None) -> TaskQueued:
        """The order to the scheduler, for one attempt."""
        env = of_attempt(
            merged(self.shared, self.run.env),
            job_id=job_id,
            job_name=self.job_name,
            task_id=queued.task_id,
            step=self.name,
            attempt=queued.attempt,
            tracestate=tracestate,
        )
        ready = max(queued.at, queued.run_at) if queued.run_at else queued.at
        return TaskQueued(
            task_id=queued.task_id,
            job_id=job_id,
            attempt=queued.attempt,
            name=self.name,
            priority=self.priority,
            requires=dict(self.requires),
            resources=self.resources,
            run=self.run.model_copy(update={"env": env}),
            run_at=queued.run_at,
            queued_at=queued.at,
            queue_deadline=ready + timedelta(seconds=self.queue_timeout) if self.queue_timeout else None,
            execution_id=queued.execution_id,
            avoid_worker_ids=list(queued.avoids),
        )


class RunStore:
    """The one way in which a running job changes."""

    def __init__(self, database: Database, traces: Traces, memory: RunMemory) -> None:
        self._database = database
        self._traces = traces
        self._memory = memory
        self._sql = load_queries("orchestrator")

    def remembered(self, job_ids: Collection[str]) -> dict[str, JobRun] | None:
        """All of these jobs without asking the database, if that is possible. `save` raises Broken where one of them
        was changed by another process meanwhile; `mistrust` is due then, and `load`."""
        return self._memory.take(job_ids)

    def under_way(self, job_id: str) -> bool:
        """Whether a job, as far as this process knows, is not over: it changed it last, and heard of no end."""
        return job_id in self._memory

    def over(self, job_id: str) -> None:
        """A job was found to be over, or gone."""
        self._memory.forget([job_id])

    def mistrust(self) -> None:
        """Remember nothing for a while."""
        self._memory.distrust()

    async def load(self, tx: Transaction, job_ids: Collection[str]) -> dict[str, JobRun]:
        """Lock jobs and load them with their tasks; those that are not there are missing from the result."""
        ids = list(job_ids)
        self._memory.forget(ids)
        jobs = await tx.fetch(self._sql["lock_jobs"], ids)
        tasks: dict[str, dict[str, TaskState]] = {row["id"]: {} for row in jobs}
        for row in await tx.fetch(self._sql["get_tasks"], ids):
            if row["job_id"] in tasks:
                tasks[row["job_id"]][row["id"]] = _task(row)
        return {row["id"]: _run(row, tasks[row["id"]]) for row in jobs}

    async def save(
        self, tx: OutboxTransaction, runs: Iterable[JobRun], moment: datetime, reports: Sequence[ExecutionRow] = ()
    ) -> None:
        """Write what changed, append to the timelines, and emit what has to be said: the last deed of a transaction."""
        loaded = list(runs)
        # Always in the same order, as `load` locks them, so that two replicas do not wait for each other.
        runs = sorted((run for run in loaded if run.touched), key=lambda run: run.job.id)
        queued = [(run, entry.event) for run in runs for entry in run.journal if isinstance(entry.event, Queued)]
        commands = await self._commands(tx, queued) if queued else {}
        for run in runs:
            self._traces.say(tx, run.job, said(run, run.journal, commands))
            self._traces.follow(tx, run, moment)
        tx.on_commit(partial(self._memory.keep, loaded))
        if not runs and not reports:
            return
        values = [
            *columns([_job_columns(run.job) for run in runs], 8),
            *columns([_task_columns(run.job.id, run.tasks[one]) for run in runs for one in sorted(run.changed)], 15),
            *columns([_execution_columns(one) for one in reports], 15),
            *columns(timeline_rows((run.job.id, run.journal) for run in runs), 2),
        ]
        closed = [(run.job.id, task, before) for run in runs for task, before in _superseded(run)]
        late = [(run.job.id, execution) for run in loaded for execution in run.late]
        if closed or late:
            await tx.execute(self._sql["save_runs"], *values)
            if closed:
                await tx.execute(self._sql["close_returned_executions"], *columns(closed, 3), moment)
            if late:
                await tx.execute(self._sql["close_late_executions"], *columns(late, 2), moment)
        else:
            tx.close_with(self._sql["save_runs"], *values)

    async def due(self, moment: datetime, limit: int) -> list[str]:
        """Jobs whose deadline has come."""
        return [row["id"] for row in await self._database.fetch(self._sql["due_jobs"], moment, limit)]

    async def next_deadline(self) -> datetime | None:
        """When the next job is due."""
        deadline: datetime | None = await self._database.fetch_value(self._sql["next_deadline"])
        return deadline

    async def overdue(self, status: JobStatus, since: datetime, after: tuple[str, str], limit: int) -> list[Overdue]:
        """A page of tasks that wait for news and have had none since a moment, in the order of (job, task)."""
        rows = await self._database.fetch(self._sql["overdue_tasks"], status.value, since, *after, limit)
        return [Overdue.model_validate(dict(row)) for row in rows]

    async def queue_again(self, tx: OutboxTransaction, overdue: Sequence[Overdue]) -> int:
        """Emit tasks.queued again for those of these tasks that are still queued; how many."""
        ids = [one.job_id for one in overdue], [one.task_id for one in overdue]
        rows = await tx.fetch(self._sql["queued_tasks"], *ids, REMIND_BYTES)
        for row in rows:
            queued = Queued(
                row["id"],
                row["attempt"],
                row["queued_at"],
                row["run_at"],
                tuple(row["avoid_worker_ids"] or ()),
                row["execution_id"],
            )
            shared = merged(row["env"], params=row["params"])
            command = _command(row, shared, job_name=row["job_name"], priority=row["priority"])
            trace = row["traceparent"]
            tx.emit(
                command.queued(row["job_id"], queued, tracestate=row["tracestate"]),
                traceparent=trace and self._traces.attempt(row["job_id"], trace, row["id"], row["attempt"]),
            )
        return len(rows)

    async def known_tasks(self, overdue: Sequence[Overdue]) -> set[str]:
        """The ids of those of these tasks that there are."""
        ids = [one.job_id for one in overdue], [one.task_id for one in overdue]
        return {row["id"] for row in await self._database.fetch(self._sql["known_tasks"], *ids)}

    async def ended_executions(self, overdue: Sequence[Overdue]) -> dict[str, Record]:
        """What came of the executions that these name, by id, as far as they are over."""
        named = [(one.job_id, one.execution_id) for one in overdue if one.execution_id is not None]
        rows = await self._database.fetch(self._sql["ended_executions"], *columns(named, 2)) if named else []
        return {row["id"]: row for row in rows}

    async def _commands(self, tx: Transaction, queued: Sequence[tuple[JobRun, Queued]]) -> dict[str, Command]:
        jobs = {run.job.id: run.job for run, _ in queued}
        rows = await tx.ask(self._sql["get_commands"], list(jobs), [one.task_id for _, one in queued])
        shared = {row["job_id"]: merged(row["env"], params=row["params"]) for row in rows if row["env"] is not None}
        return {
            row["id"]: _command(
                row, shared[row["job_id"]], job_name=jobs[row["job_id"]].name, priority=jobs[row["job_id"]].priority
            )
            for row in rows
        }


def said(run: JobRun, journal: Iterable[Entry], commands: Mapping[str, Command]) -> Iterable[EventData]:
    """The events of a journal that are ours to say."""
    for entry in journal:
        if isinstance(entry.event, Queued):
            yield commands[entry.event.task_id].queued(run.job.id, entry.event, tracestate=run.job.tracestate)
        elif not entry.observed:
            yield entry.event


def _superseded(run: JobRun) -> Iterable[tuple[str, str | None]]:
    yield from run.replaced.items()
    for task_id in run.emptied:
        yield task_id, None


def _run(row: Record, tasks: Mapping[str, TaskState]) -> JobRun:
    run = JobRun(_job(row), tasks, random.random)
    if run.job.traceparent is not None:
        run.queued_before = {task.id: task.queued_at for task in tasks.values()}
    return run


def _job(row: Record) -> JobState:
    return JobState(
        id=row["id"],
        name=row["name"],
        created_at=row["created_at"],
        priority=row["priority"],
        pipeline_id=row["pipeline_id"],
        status=JobStatus(row["status"]),
        reason=Reason(row["reason"]) if row["reason"] else None,
        detail=row["detail"],
        stopping=Reason(row["stopping"]) if row["stopping"] else None,
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        traceparent=row["traceparent"],
        tracestate=row["tracestate"],
        version=row["version"],
    )


def _task(row: Record) -> TaskState:
    return TaskState(
        id=row["id"],
        name=row["name"],
        depends_on=tuple(row["depends_on"] or ()),
        allow_failure=row["allow_failure"],
        retry=RetrySpec.model_validate(row["retry"]) if row["retry"] else None,
        retry_on_lost=row["retry_on_lost"],
        max_crashes=row["max_crashes"],
        requires=row["requires"],
        resources=Resources.model_validate(row["resources"]) if row["resources"] else None,
        status=TaskStatus(row["status"]),
        reason=Reason(row["reason"]) if row["reason"] else None,
        detail=row["detail"],
        attempt=row["attempt"],
        crashes=row["crashes"],
        stops=row["stops"],
        exit_code=row["exit_code"],
        execution_id=row["execution_id"],
        run_at=row["run_at"],
        avoids=tuple(row["avoid_worker_ids"] or ()),
        queued_at=row["queued_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )


def _command(row: Record, shared: Mapping[str, str], *, job_name: str, priority: Priority) -> Command:
    return Command(
        name=row["name"],
        job_name=job_name,
        priority=priority,
        run=RunSpec.model_validate(row["run"]),
        shared=shared,
        requires=row["requires"],
        resources=Resources.model_validate(row["resources"]) if row["resources"] else None,
        queue_timeout=row["queue_timeout"],
    )


def _job_columns(job: JobState) -> tuple[object, ...]:
    return (
        job.id,
        job.version,
        job.status.value,
        job.reason.value if job.reason else None,
        job.stopping.value if job.stopping else None,
        job.started_at,
        job.finished_at,
        job.detail,
    )


def _task_columns(job_id: str, task: TaskState) -> tuple[object, ...]:
    return (
        job_id,
        task.id,
        task.status.value,
        task.reason.value if task.reason else None,
        task.attempt,
        task.crashes,
        task.exit_code,
        task.execution_id,
        task.run_at,
        "{" + ",".join(task.avoids) + "}" if task.avoids else None,
        task.queued_at,
        task.started_at,
        task.finished_at,
        task.stops,
        task.detail,
    )


def _execution_columns(row: ExecutionRow) -> tuple[object, ...]:
    return (
        row.job_id,
        row.id,
        row.task_id,
        row.attempt,
        row.worker_id,
        row.worker_name,
        row.status.value,
        row.reason.value if row.reason else None,
        row.detail,
        row.exit_code,
        row.placed_at,
        row.started_at,
        row.finished_at,
        row.log_chunks,
        row.log_truncated,
    )
