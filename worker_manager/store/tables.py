"""The columns of executions that are written, one description for each statement: their names, their types, and where
each value comes from (`shared.postgres.named`)."""

from operator import attrgetter, itemgetter
from typing import Final

from pydantic_core import to_json

from shared.postgres import Column, Rows
from worker_manager.domain.handover import Order
from worker_manager.domain.reports import Report, Settled, Unplaced


def _assignment(order: Order) -> str:
    return order.assignment.decode()


def _outputs(report: Report) -> str | None:
    return to_json(report.outputs).decode() if report.outputs else None


ORDERS: Final = Rows[Order](
    Column("id", "uuid", attrgetter("execution_id")),
    Column("task_id", "uuid"),
    Column("job_id", "uuid"),
    Column("worker_id", "uuid"),
    Column("worker_name", "text"),
    Column("incarnation", "uuid"),
    Column("attempt", "integer"),
    Column("labels", "jsonb"),
    Column("assignment", "text", _assignment),
    Column("created_at", "timestamptz", attrgetter("scheduled_at")),
)

REPORTS: Final = Rows[Report](
    Column("id", "uuid", attrgetter("execution_id")),
    Column("task_id", "uuid"),
    Column("job_id", "uuid"),
    Column("worker_id", "uuid"),
    Column("worker_name", "text"),
    Column("incarnation", "uuid"),
    Column("attempt", "integer"),
    Column("labels", "jsonb"),
    Column("status", "text"),
    Column("rank", "smallint"),
    Column("reason", "text"),
    Column("detail", "text"),
    Column("exit_code", "integer"),
    Column("log_chunks", "integer"),
    Column("log_truncated", "boolean"),
    Column("outputs", "text", _outputs),
    Column("created_at", "timestamptz"),
    Column("started_at", "timestamptz"),
    Column("finished_at", "timestamptz"),
)

PLACED: Final = Rows[Report](Column("placed", "boolean"))
"""Beside REPORTS: whether the execution of each is known to be placed on its worker."""

UNPLACED: Final = Rows[Unplaced](
    Column("task_id", "uuid", key=True),
    Column("attempt", "integer", key=True),
    Column("status", "text"),
    Column("reason", "text"),
    Column("detail", "text"),
    Column("finished_at", "timestamptz"),
)

SETTLED: Final = Rows[Settled](
    Column("id", "uuid", attrgetter("execution_id"), key=True),
    Column("status", "text"),
    Column("reason", "text"),
    Column("detail", "text"),
    Column("finished_at", "timestamptz"),
)

HEARD: Final = Rows[tuple[str, str]](
    Column("worker_id", "uuid", itemgetter(0)),
    Column("incarnation", "uuid", itemgetter(1)),
)
"""Workers and their incarnations."""
