"""The columns that the orchestrator writes, described once for each table and statement: names, types, and the source
of each value (`shared.postgres.named`)."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Final, NamedTuple

from pydantic_core import to_json

from orchestrator.domain.concurrency import Claim
from orchestrator.domain.definition import StepRules, TaskDefinition
from orchestrator.domain.executions import ExecutionRow
from orchestrator.domain.making import NewJob
from orchestrator.domain.run import JobRun
from orchestrator.domain.state import TaskState
from orchestrator.store.actors import write_actor
from orchestrator.store.declared import write_declared
from orchestrator.store.rules import COLUMNS
from schemas.params import Scalar
from shared.postgres import Column, FieldColumn, Rows


class TaskRow(NamedTuple):
    """A task that has changed."""

    job_id: str
    task: TaskState


class NewTask(NamedTuple):
    """A task to insert."""

    job_id: str
    position: int
    task: TaskState
    definition: TaskDefinition


class ClaimRow(NamedTuple):
    """A claim to insert."""

    job_id: str
    claim: Claim
    rank: int
    since: datetime
    arrived: bool
    held_at: datetime | None


class TimelineRow(NamedTuple):
    """The entries to append to a job's timeline."""

    job_id: str
    packed: bytes


def new_tasks(job: NewJob) -> Iterator[NewTask]:
    """The tasks of a new job, in the order of its steps."""
    for position, task in enumerate(job.run.tasks.values()):
        yield NewTask(job.run.job.id, position, task, job.definitions[task.id])


def _object(read: Callable[[NewJob], Mapping[str, Scalar]]) -> Callable[[NewJob], str]:
    """A mapping as JSON; most are empty."""
    return lambda job: to_json(value).decode() if (value := read(job)) else "{}"


def _run(one: NewTask) -> str | None:
    return None if one.definition.run is None else one.definition.run.model_dump_json()


def _rule(column: FieldColumn[StepRules]) -> Callable[[NewTask], object]:
    return lambda one: column.write(one.definition.rules)


def _decision(row: NewTask | TaskRow) -> str | None:
    return None if row.task.decision is None else row.task.decision.model_dump_json()


def _avoided(row: TaskRow) -> str | None:
    """The workers as the text of an array, because an array of arrays cannot be passed."""
    return "{" + ",".join(row.task.avoids) + "}" if row.task.avoids else None


def _outputs(row: NewTask | TaskRow) -> str | None:
    return to_json(row.task.outputs).decode() if row.task.outputs else None


def _concurrency(job: NewJob) -> str | None:
    return None if job.wanted.concurrency is None else job.wanted.concurrency.model_dump_json()


NEW_JOBS: Final = Rows[NewJob](
    Column("id", "uuid", attrgetter("run.job.id")),
    Column("name", "text", attrgetter("run.job.name")),
    Column("status", "text", attrgetter("run.job.status")),
    Column("reason", "text", attrgetter("run.job.reason")),
    Column("detail", "text", attrgetter("run.job.detail")),
    Column("pipeline_id", "uuid", attrgetter("run.job.pipeline_id")),
    Column("pipeline_version", "integer", attrgetter("wanted.pipeline_version")),
    Column("priority", "text", attrgetter("run.job.priority")),
    Column("env", "text", _object(attrgetter("wanted.env")), cast="json"),
    Column("params", "text", _object(attrgetter("wanted.params")), cast="json"),
    Column("declared", "text", lambda job: write_declared(job.wanted.declared), cast="json"),
    Column("labels", "text", _object(attrgetter("wanted.labels")), cast="jsonb"),
    Column("timeout", "float8", attrgetter("wanted.timeout")),
    Column("run_at", "timestamptz", attrgetter("wanted.run_at")),
    Column("cleanup_timeout", "float8", attrgetter("wanted.cleanup_timeout")),
    Column("deadline", "timestamptz", attrgetter("run.job.deadline")),
    Column("due_at", "timestamptz", attrgetter("run.job.due_at")),
    Column("time_left", "interval", attrgetter("run.job.time_left")),
    Column("rerun_of", "uuid", attrgetter("wanted.rerun_of")),
    Column("schedule_id", "uuid", attrgetter("wanted.schedule_id")),
    Column("created_at", "timestamptz", attrgetter("run.job.created_at")),
    Column("started_at", "timestamptz", attrgetter("run.job.started_at")),
    Column("finished_at", "timestamptz", attrgetter("run.job.finished_at")),
    Column("traceparent", "text", attrgetter("run.job.traceparent")),
    Column("tracestate", "text", attrgetter("run.job.tracestate")),
    Column("concurrency_key", "text", attrgetter("run.job.concurrency_key")),
    Column("key_template", "text", attrgetter("wanted.key_template")),
    Column("concurrency", "text", _concurrency, cast="json"),
    Column("claim", "text", attrgetter("run.job.claim")),
    Column("created_by", "text", lambda job: write_actor(job.run.job.created_by), cast="json"),
)

NEW_TASKS: Final = Rows[NewTask](
    Column("job_id", "uuid"),
    Column("id", "uuid", attrgetter("task.id")),
    Column("position", "integer"),
    Column("run", "text", _run, cast="json"),
    *(Column(column.name, column.type, _rule(column), cast=column.cast) for column in COLUMNS),
    Column("status", "text", attrgetter("task.status")),
    Column("reason", "text", attrgetter("task.reason")),
    Column("detail", "text", attrgetter("task.detail")),
    Column("attempt", "integer", attrgetter("task.attempt")),
    Column("exit_code", "integer", attrgetter("task.exit_code")),
    Column("outputs", "text", _outputs, cast="json"),
    Column("execution_id", "uuid", attrgetter("task.execution_id")),
    Column("run_at", "timestamptz", attrgetter("task.run_at")),
    Column("decision", "text", _decision, cast="json"),
    Column("queued_at", "timestamptz", attrgetter("task.queued_at")),
    Column("started_at", "timestamptz", attrgetter("task.started_at")),
    Column("finished_at", "timestamptz", attrgetter("task.finished_at")),
)

JOBS: Final = Rows[JobRun](
    Column("id", "uuid", attrgetter("job.id"), key=True),
    Column("version", "integer", attrgetter("job.version"), key=True),
    Column("status", "text", attrgetter("job.status")),
    Column("reason", "text", attrgetter("job.reason")),
    Column("stopping", "text", attrgetter("job.stopping")),
    Column("deadline", "timestamptz", attrgetter("job.deadline")),
    Column("due_at", "timestamptz", attrgetter("job.due_at")),
    Column("time_left", "interval", attrgetter("job.time_left")),
    Column("started_at", "timestamptz", attrgetter("job.started_at")),
    Column("finished_at", "timestamptz", attrgetter("job.finished_at")),
    Column("detail", "text", attrgetter("job.detail")),
    Column("cancelled_by", "text", lambda run: write_actor(run.job.cancelled_by), cast="json"),
)

TASKS: Final = Rows[TaskRow](
    Column("job_id", "uuid", key=True),
    Column("id", "uuid", attrgetter("task.id"), key=True),
    Column("status", "text", attrgetter("task.status")),
    Column("reason", "text", attrgetter("task.reason")),
    Column("attempt", "integer", attrgetter("task.attempt")),
    Column("crashes", "integer", attrgetter("task.crashes")),
    Column("exit_code", "integer", attrgetter("task.exit_code")),
    Column("outputs", "text", _outputs, cast="json"),
    Column("execution_id", "uuid", attrgetter("task.execution_id")),
    Column("run_at", "timestamptz", attrgetter("task.run_at")),
    Column("avoid_worker_ids", "text", _avoided, cast="uuid[]"),
    Column("queued_at", "timestamptz", attrgetter("task.queued_at")),
    Column("started_at", "timestamptz", attrgetter("task.started_at")),
    Column("finished_at", "timestamptz", attrgetter("task.finished_at")),
    Column("stops", "integer", attrgetter("task.stops")),
    Column("detail", "text", attrgetter("task.detail")),
    Column("decision", "text", _decision, cast="json"),
)

EXECUTIONS: Final = Rows[ExecutionRow](
    Column("job_id", "uuid"),
    Column("id", "uuid"),
    Column("task_id", "uuid"),
    Column("attempt", "integer"),
    Column("worker_id", "uuid"),
    Column("worker_name", "text"),
    Column("status", "text"),
    Column("reason", "text"),
    Column("detail", "text"),
    Column("exit_code", "integer"),
    Column("placed_at", "timestamptz"),
    Column("started_at", "timestamptz"),
    Column("finished_at", "timestamptz"),
    Column("log_chunks", "integer"),
    Column("log_truncated", "boolean"),
)

TIMELINE: Final = Rows[TimelineRow](
    Column("job_id", "uuid"),
    Column("packed", "bytea"),
)

CLAIMS: Final = Rows[ClaimRow](
    Column("job_id", "uuid"),
    Column("space", "text", attrgetter("claim.key.space")),
    Column("key", "text", attrgetter("claim.key.name")),
    Column("slot_limit", "integer", attrgetter("claim.limit")),
    Column("when_full", "text", attrgetter("claim.when_full")),
    Column("only_of", "uuid", attrgetter("claim.only_of")),
    Column("rank", "smallint"),
    Column("since", "timestamptz"),
    Column("arrived", "boolean"),
    Column("held_at", "timestamptz"),
)
