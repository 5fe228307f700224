"""Turns rows of the scheduler's tables into values of the domain."""

from sys import intern

from scheduler.domain.model import Outcome, Shape, StepFields, Task, TaskState
from scheduler.domain.recall import Known
from scheduler.domain.worker import KnownWorker
from scheduler.store.reports import unpacked_report
from scheduler.store.tables import STEP_COLUMNS
from schemas.specs import Resources
from schemas.states import Reason, WorkerStatus
from shared.postgres import Record, from_row


def step_of(row: Record) -> StepFields:
    """The fields of the step in a task's row."""
    return from_row(StepFields, STEP_COLUMNS, row).shared()


def worker_of(row: Record) -> KnownWorker:
    """The worker in a row. One without an agent has no incarnation, and no task is ever placed on it."""
    status = WorkerStatus(row["status"])
    return KnownWorker(
        id=row["id"],
        type=row["type"],
        name=row["name"],
        incarnation=row["incarnation"] or "",
        since=row["since"],
        labels=row["labels"],
        capacity=None if row["capacity"] is None else Resources(**row["capacity"]),
        slots=row["slots"],
        prefetch=row["prefetch"],
        online=status is not WorkerStatus.OFFLINE,
        drained=row["drained"],
        draining=status is WorkerStatus.DRAINING and not row["drained"],
        durable=row["durable"],
        unhealthy=row["reason"],
        stored=True,
    )


def heard_worker_of(row: Record) -> KnownWorker:
    worker = worker_of(row)
    worker.heard_at = row["last_heartbeat"]
    return worker


def task_of(row: Record) -> Task:
    step = step_of(row)
    return Task(
        task_id=row["task_id"],
        job_id=row["job_id"],
        attempt=row["attempt"],
        name=intern(row["name"]),
        priority=row["priority"],
        shape=Shape.of(step),
        step=step,
        queued_at=row["queued_at"],
        ready_at=row["ready_at"],
        run_at=row["run_at"],
        queue_deadline=row["queue_deadline"],
        wanted_execution_id=row["wanted_execution_id"],
        avoid_worker_id=row["avoid_worker_id"],
        shuns=tuple(row["shuns"] or ()),
        state=TaskState(row["status"]),
        execution_id=row["execution_id"],
        worker_id=row["worker_id"],
        incarnation=row["incarnation"],
        placed_at=row["placed_at"],
        cancel_reason=None if row["cancel_reason"] is None else Reason(row["cancel_reason"]),
        traceparent=row["traceparent"],
        stored=True,
    )


def known_of(row: Record) -> Known:
    return Known(
        task_id=row["task_id"],
        job_id=row["job_id"],
        attempt=row["attempt"],
        name=row["name"],
        state=TaskState(row["status"]),
        run=row["run"],
        matrix=row["matrix"],
        index=row["index"],
        labels=row["labels"] or None,
        execution_id=row["execution_id"],
        worker_id=row["worker_id"],
        worker_name=row["worker_name"],
        incarnation=row["incarnation"],
        placed_at=row["placed_at"],
        cancel_reason=None if row["cancel_reason"] is None else Reason(row["cancel_reason"]),
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        report=unpacked_report(row),
        traceparent=row["traceparent"],
    )
