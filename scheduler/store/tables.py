"""The columns that the leader writes, one description for each statement: their names, their types, and where each
value comes from (`shared.postgres.named`)."""

from collections.abc import Callable
from operator import attrgetter
from typing import Final, NamedTuple, TypeVar

from scheduler.domain.model import Outcome, StepFields, Task
from scheduler.domain.priorities import JobPriority
from scheduler.domain.worker import KnownWorker
from scheduler.store.reports import packed_report
from schemas.events import ExecutionFinished, TaskCancelRequested
from shared.postgres import Column, FieldColumn, Rows, Selected, columns_of

T = TypeVar("T")


class Mark(NamedTuple):
    """An end, or a cancellation, of an attempt that may never have arrived."""

    event: ExecutionFinished | TaskCancelRequested
    outcome: Outcome


def _itself(value: T) -> T:
    return value


def _of_step(column: FieldColumn[StepFields]) -> Callable[[Task], object]:
    return lambda task: column.write(task.step)


def _shuns(task: Task) -> str | None:
    """An array of arrays cannot be passed, so each goes as text."""
    return "{" + ",".join(task.shuns) + "}" if task.shuns else None


def _report(task: Task) -> bytes | None:
    return None if task.report is None else packed_report(task.report)


def _end(mark: Mark) -> bytes | None:
    return packed_report(mark.event) if isinstance(mark.event, ExecutionFinished) else None


def _labels(worker: KnownWorker) -> dict[str, str]:
    return dict(worker.labels)


def _capacity(worker: KnownWorker) -> object:
    return None if worker.capacity is None else worker.capacity.model_dump()


def _reserved_for(worker: KnownWorker) -> str | None:
    return None if worker.reservation is None else worker.reservation.task.task_id


STEP_COLUMNS: Final = columns_of(StepFields, json="jsonb", ordered=("matrix",))

ARRIVALS: Final = Rows[Task](
    Column("task_id", "uuid", key=True),
    Column("job_id", "uuid", key=True),
    Column("attempt", "integer"),
    Column("status", "text", attrgetter("state")),
    Column("name", "text"),
    Column("priority", "smallint"),
    *(Column(column.name, column.type, _of_step(column), cast=column.cast) for column in STEP_COLUMNS),
    Column("queued_at", "timestamptz"),
    Column("ready_at", "timestamptz"),
    Column("run_at", "timestamptz"),
    Column("queue_deadline", "timestamptz"),
    Column("wanted_execution_id", "uuid"),
    Column("avoid_worker_id", "uuid"),
    Column("execution_id", "uuid"),
    Column("worker_id", "uuid"),
    Column("incarnation", "uuid"),
    Column("placed_at", "timestamptz"),
    Column("outcome", "text"),
    Column("traceparent", "text"),
    Column("shuns", "text", _shuns, cast="uuid[]"),
)

STORED: Final = Selected(ARRIVALS)
"""What is read of an attempt."""

RUNS: Final = Rows[str | None](Column("run", "text", _itself))
"""What the arrivals run, in the same order, as JSON; None for one that is over."""

MOVES: Final = Rows[Task](
    Column("task_id", "uuid", key=True),
    Column("attempt", "integer", key=True),
    Column("status", "text", attrgetter("state")),
    Column("priority", "smallint"),
    Column("execution_id", "uuid"),
    Column("worker_id", "uuid"),
    Column("incarnation", "uuid"),
    Column("placed_at", "timestamptz"),
    Column("wanted_execution_id", "uuid"),
    Column("avoid_worker_id", "uuid"),
    Column("cancel_reason", "text"),
)

PRIORITIES: Final = Rows[JobPriority](
    Column("job_id", "uuid", key=True),
    Column("priority", "smallint", attrgetter("rank")),
    Column("changes", "integer"),
)

ENDS: Final = Rows[Task](
    Column("task_id", "uuid", key=True),
    Column("attempt", "integer", key=True),
    Column("outcome", "text"),
    Column("packed_report", "bytea", _report),
)

MARKS: Final = Rows[Mark](
    Column("task_id", "uuid", attrgetter("event.task_id")),
    Column("job_id", "uuid", attrgetter("event.job_id")),
    Column("attempt", "integer", attrgetter("event.attempt")),
    Column("outcome", "text"),
    Column("packed_report", "bytea", _end),
)

WORKERS: Final = Rows[KnownWorker](
    Column("id", "uuid"),
    Column("type", "text"),
    Column("name", "text"),
    Column("status", "text"),
    Column("reason", "text"),
    Column("labels", "jsonb", _labels),
    Column("capacity", "jsonb", _capacity),
    Column("slots", "integer"),
    Column("prefetch", "integer"),
    Column("incarnation", "uuid"),
    Column("since", "timestamptz"),
    Column("last_heartbeat", "timestamptz", attrgetter("heard_at")),
    Column("durable", "boolean"),
    Column("reserved_for", "uuid", _reserved_for),
    Column("drained", "boolean"),
)

NEWS: Final = Rows[KnownWorker](Column("fresh", "boolean", lambda worker: not worker.stored))
"""Which of the workers have no row yet, in the same order."""

HEARD: Final = Rows[KnownWorker](
    Column("id", "uuid", key=True),
    Column("last_heartbeat", "timestamptz", attrgetter("heard_at")),
    Column("prefetch", "integer"),
)

BELIEVED: Final = Rows[KnownWorker](
    Column("id", "uuid"),
    Column("drained", "boolean"),
)
