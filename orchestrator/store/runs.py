"""Running jobs as rows: loaded under their lock, and written back as sets. The rules and events are made elsewhere."""

import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from orchestrator.domain.concurrency import ClaimState
from orchestrator.domain.definition import StepRules
from orchestrator.domain.environment import merged
from orchestrator.domain.executions import ExecutionRow
from orchestrator.domain.expressions import BadExpression, outputs_of, rendered
from orchestrator.domain.orders import Commands, Orders, Queued
from orchestrator.domain.run import JobRun
from orchestrator.domain.scope import Values
from orchestrator.domain.state import JobState, TaskState
from orchestrator.domain.views import Ended, Views
from orchestrator.store.actors import read_actor
from orchestrator.store.rules import RULES, rules_of
from orchestrator.store.tables import EXECUTIONS, JOBS, TASKS, TIMELINE, TaskRow
from orchestrator.store.timeline import timeline_rows
from schemas.params import Scalar
from schemas.questions import Overdue
from schemas.sizes import environment_bytes
from schemas.specs import RunSpec
from schemas.states import ExecutionStatus, JobStatus, Reason, TaskStatus
from schemas.steps import Decision
from shared.outbox import OutboxTransaction
from shared.postgres import Database, Record, Transaction, load_queries, with_rows

REMIND_BYTES: Final = 8 << 20
"""About the most bytes of orders in one round of reminders, because all of them are in memory at the same time."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queued task, with the fields that its order needs."""

    orders: Orders
    traceparent: str | None
    """The job's traceparent."""
    rules: StepRules
    run: RunSpec
    queued: Queued
    params: Mapping[str, Scalar]
    """The job's parameters."""
    fault: str | None = None
    """Why its expressions have no value, so that there is no order."""


class RunStore:
    """The tables of running jobs. Only `orchestrator.unit_of_work` writes through it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("orchestrator")
        self._get_tasks = with_rows(self._sql["get_tasks"], rules=RULES)
        self._queued_tasks = with_rows(self._sql["queued_tasks"], rules=RULES)
        self._save = with_rows(self._sql["save_runs"], jobs=JOBS, tasks=TASKS, executions=EXECUTIONS, timeline=TIMELINE)

    async def load(self, tx: Transaction, job_ids: Collection[str]) -> dict[str, JobRun]:
        """Lock jobs and load them with their tasks. Jobs that do not exist are missing from the result."""
        ids = list(job_ids)
        jobs = await tx.fetch(self._sql["lock_jobs"], ids)
        tasks: dict[str, dict[str, TaskState]] = {row["id"]: {} for row in jobs}
        for row in await tx.fetch(self._get_tasks, ids):
            if row["job_id"] in tasks:
                tasks[row["job_id"]][row["id"]] = _task(row)
        return {row["id"]: _run(row, tasks[row["id"]]) for row in jobs}

    async def commands(self, tx: Transaction, ordered: Mapping[str, Sequence[str]]) -> dict[str, Commands]:
        """The commands that the orders of tasks need, by job id. `ordered` has the tasks' ids by job id."""
        ids = [task_id for task_ids in ordered.values() for task_id in task_ids]
        commands: dict[str, tuple[Mapping[str, str], dict[str, RunSpec]]] = {}
        for row in await tx.ask(self._sql["get_commands"], list(ordered), ids):
            if row["env"] is not None:  # the first row of its job
                commands[row["job_id"]] = merged(row["env"], params=row["params"]), {}
            commands[row["job_id"]][1][row["id"]] = RunSpec.model_validate(row["run"])
        return {job_id: Commands(env, runs) for job_id, (env, runs) in commands.items()}

    async def write(
        self, tx: OutboxTransaction, runs: Sequence[JobRun], reports: Sequence[ExecutionRow], moment: datetime
    ) -> None:
        """Write the changes of runs and the reports of their executions, and append to the timelines. This must be the
        last statement of a transaction. Raises Broken if another process wrote one of the jobs in the meantime."""
        # In the order in which `load` locks them, so that two replicas cannot deadlock.
        touched = sorted((run for run in runs if run.touched), key=lambda run: run.job.id)
        if not touched and not reports:
            return
        changed = [TaskRow(run.job.id, run.tasks[one]) for run in touched for one in sorted(run.changed)]
        values = [
            *JOBS.arrays(touched),
            *TASKS.arrays(changed),
            *EXECUTIONS.arrays(reports),
            *TIMELINE.arrays(timeline_rows(touched)),
        ]
        if reprioritized := [run.job for run in touched if run.reprioritized]:
            new = [(job.id, job.priority, job.priority_changes) for job in reprioritized]
            await tx.execute(self._sql["save_priorities"], *_columns(new))
        closed = [(run.job.id, task, before) for run in touched for task, before in _superseded(run)]
        late = [(run.job.id, execution) for run in runs for execution in run.late]
        if closed or late:
            await tx.execute(self._save, *values)
            if closed:
                await tx.execute(self._sql["close_returned_executions"], *_columns(closed), moment)
            if late:
                await tx.execute(self._sql["close_late_executions"], *_columns(late), moment)
        else:
            tx.close_with(self._save, *values)

    async def due(self, moment: datetime, limit: int) -> list[str]:
        """Jobs that are due, the first ones first."""
        return [row["id"] for row in await self._database.fetch(self._sql["due_jobs"], moment, limit)]

    async def next_deadline(self) -> datetime | None:
        """When the next job is due."""
        deadline: datetime | None = await self._database.fetch_value(self._sql["next_deadline"])
        return deadline

    async def overdue(self, status: JobStatus, since: datetime, after: tuple[str, str], limit: int) -> list[Overdue]:
        """A page of tasks that wait for an event and have had none since a moment, ordered by (job, task)."""
        rows = await self._database.fetch(self._sql["overdue_tasks"], status.value, since, *after, limit)
        return [Overdue.model_validate(dict(row)) for row in rows]

    async def waiting(self, tx: Transaction, overdue: Sequence[Overdue]) -> list[Waiting]:
        """Those of these tasks that are still queued, as many as one round may remind of."""
        ids = [one.job_id for one in overdue], [one.task_id for one in overdue]
        waiting = [_waiting(row) for row in await tx.fetch(self._queued_tasks, *ids, REMIND_BYTES)]
        seen = [(one.orders.job_id, name) for one in waiting if one.rules.expressions for name in outputs_of(one.run)]
        ended = await tx.fetch(self._sql["ended_steps"], *_columns(sorted(set(seen)))) if seen else []
        steps: dict[tuple[str, str], list[Ended]] = defaultdict(list)
        for row in ended:
            task = Ended(TaskStatus(row["status"]), row["outputs"] or {}, row["index"] is not None)
            steps[row["job_id"], row["name"]].append(task)
        return [_with_values(one, steps) if one.rules.expressions else one for one in waiting]

    async def known_tasks(self, overdue: Sequence[Overdue]) -> set[str]:
        """The ids of those of these tasks that exist."""
        ids = [one.job_id for one in overdue], [one.task_id for one in overdue]
        return {row["id"] for row in await self._database.fetch(self._sql["known_tasks"], *ids)}

    async def ended_executions(self, overdue: Sequence[Overdue]) -> dict[str, ExecutionRow]:
        """The ended ones among the executions asked about, by id, with their outcomes."""
        named = [(one.job_id, one.execution_id) for one in overdue if one.execution_id is not None]
        rows = await self._database.fetch(self._sql["ended_executions"], *_columns(named)) if named else []
        return {row["id"]: _execution(row) for row in rows}


def _superseded(run: JobRun) -> Iterable[tuple[str, str | None]]:
    yield from run.replaced.items()
    for task_id in run.emptied:
        yield task_id, None


def _execution(row: Record) -> ExecutionRow:
    return ExecutionRow(
        row["id"],
        row["job_id"],
        row["task_id"],
        row["attempt"],
        row["worker_id"],
        ExecutionStatus(row["status"]),
        row["placed_at"],
        worker_name=row["worker_name"],
        reason=None if row["reason"] is None else Reason(row["reason"]),
        detail=row["detail"],
        exit_code=row["exit_code"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        log_chunks=row["log_chunks"],
        log_truncated=row["log_truncated"],
        labels=row["labels"],
    )


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
        priority_changes=row["priority_changes"],
        pipeline_id=row["pipeline_id"],
        schedule_id=row["schedule_id"],
        params=row["params"],
        status=JobStatus(row["status"]),
        reason=Reason(row["reason"]) if row["reason"] else None,
        detail=row["detail"],
        stopping=Reason(row["stopping"]) if row["stopping"] else None,
        deadline=row["deadline"],
        due_at=row["due_at"],
        time_left=row["time_left"],
        cleanup_timeout=row["cleanup_timeout"],
        run_at=row["run_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        traceparent=row["traceparent"],
        tracestate=row["tracestate"],
        version=row["version"],
        claim=ClaimState(row["claim"]) if row["claim"] else None,
        concurrency_key=row["concurrency_key"],
        created_by=read_actor(row["created_by"]),
        cancelled_by=read_actor(row["cancelled_by"]),
    )


def _task(row: Record) -> TaskState:
    return TaskState(
        id=row["id"],
        rules=rules_of(row),
        status=TaskStatus(row["status"]),
        reason=Reason(row["reason"]) if row["reason"] else None,
        detail=row["detail"],
        attempt=row["attempt"],
        crashes=row["crashes"],
        stops=row["stops"],
        exit_code=row["exit_code"],
        outputs=row["outputs"],
        execution_id=row["execution_id"],
        worker_id=row["worker_id"],
        run_at=row["run_at"],
        avoids=tuple(row["avoid_worker_ids"] or ()),
        decision=None if row["decision"] is None else Decision.model_validate(row["decision"]),
        queued_at=row["queued_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )


def _waiting(row: Record) -> Waiting:
    env = merged(row["env"], params=row["params"])
    avoids = tuple(row["avoid_worker_ids"] or ())
    return Waiting(
        Orders(row["job_id"], row["job_name"], row["priority"], row["priority_changes"], row["tracestate"], env),
        row["traceparent"],
        rules_of(row),
        RunSpec.model_validate(row["run"]),
        Queued(row["id"], row["attempt"], row["queued_at"], row["run_at"], avoids, row["execution_id"]),
        row["params"],
    )


def _with_values(waiting: Waiting, steps: Mapping[tuple[str, str], Sequence[Ended]]) -> Waiting:
    """With the values of its expressions, as in its first order: what they refer to was over then, and stays so."""
    orders, rules = waiting.orders, waiting.rules
    values = Values(
        orders.job_id,
        orders.job_name,
        orders.priority,
        waiting.queued.attempt,
        waiting.params,
        rules.matrix or {},
        Views(lambda name: steps.get((orders.job_id, name), ())),
    )
    try:
        return replace(waiting, run=rendered(waiting.run, values, taken=environment_bytes(orders.env)))
    except BadExpression as error:
        return replace(waiting, fault=str(error))


def _columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """The columns of at least one row, as the arrays that `unnest` takes."""
    return [list(column) for column in zip(*rows, strict=True)]
