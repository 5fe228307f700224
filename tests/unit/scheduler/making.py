"""Tasks, workers and events for tests of the scheduler's rules."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from scheduler.domain.changes import Changes
from scheduler.domain.desk import Desk
from scheduler.domain.model import Moment, Shape, Task
from schemas.agents import PROTOCOL, Heartbeat
from schemas.events import ExecutionFinished, ExecutionReturned, TaskCancelRequested, TaskQueued
from schemas.specs import Priority, Resources, RunSpec
from schemas.states import ExecutionStatus

START = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = 15.0
ANY = Shape()
TRUE = RunSpec(command="true")


def at(seconds: float) -> Moment:
    return Moment(START + timedelta(seconds=seconds), 1000.0 + seconds)


def task(number: int, *, priority: int = 1, shape: Shape = ANY, ready: float = 0, avoid: str | None = None) -> Task:
    moment = START + timedelta(seconds=ready)
    return Task(
        task_id=f"t{number:06}",
        job_id=f"j{number:06}",
        attempt=1,
        name="",
        priority=priority,
        shape=shape,
        queued_at=moment,
        ready_at=moment,
        avoid_worker_id=avoid,
    )


def queued(
    task_id: str,
    *,
    attempt: int = 1,
    priority: Priority = "normal",
    requires: dict[str, str] | None = None,
    resources: Resources | None = None,
    queued_at: float = 0,
    run_at: float | None = None,
    deadline: float | None = None,
    execution_id: str | None = None,
    avoid: Sequence[str] = (),
    job_id: str | None = None,
    priority_changes: int | None = None,
) -> TaskQueued:
    return TaskQueued(
        task_id=task_id,
        job_id=job_id or f"job-of-{task_id}",
        attempt=attempt,
        name="step",
        priority=priority,
        priority_changes=priority_changes,
        requires=requires or {},
        resources=resources,
        run=TRUE,
        queued_at=at(queued_at).wall,
        run_at=None if run_at is None else at(run_at).wall,
        queue_deadline=None if deadline is None else at(deadline).wall,
        execution_id=execution_id,
        avoid_worker_ids=list(avoid),
    )


def beat(
    worker_id: str = "w1",
    *,
    incarnation: str = "i1",
    slots: int = 2,
    prefetch: int = 0,
    running: Sequence[str] = (),
    reporting: Sequence[str] = (),
    over: Sequence[str] = (),
    draining: bool = False,
    unhealthy: str | None = None,
    sequence: int = 0,
    exiting: bool = False,
    stopped: Sequence[str] = (),
    leaving: bool = False,
    durable: bool = False,
    labels: dict[str, str] | None = None,
    capacity: Resources | None = None,
    protocol: int = PROTOCOL,
) -> Heartbeat:
    return Heartbeat(
        protocol=protocol,
        worker_id=worker_id,
        incarnation=incarnation,
        slots=slots,
        prefetch=prefetch,
        draining=draining,
        unhealthy=unhealthy,
        sequence=sequence,
        name=worker_id,
        type="default",
        labels=labels or {},
        capacity=capacity,
        sent_at=START,
        running=list(running),
        reporting=list(reporting),
        over=list(over),
        leaving=leaving,
        exiting=exiting,
        stopped=list(stopped),
        durable=durable,
    )


def finished(placed: Task, status: ExecutionStatus = ExecutionStatus.SUCCEEDED) -> ExecutionFinished:
    assert placed.execution_id is not None
    return ExecutionFinished(
        execution_id=placed.execution_id,
        task_id=placed.task_id,
        job_id=placed.job_id,
        attempt=placed.attempt,
        worker_id=placed.worker_id or "",
        incarnation=placed.incarnation or "",
        status=status,  # type: ignore[arg-type]  # only final ones are passed
        finished_at=START,
    )


def returned(placed: Task) -> ExecutionReturned:
    assert placed.execution_id is not None
    return ExecutionReturned(
        execution_id=placed.execution_id,
        task_id=placed.task_id,
        job_id=placed.job_id,
        attempt=placed.attempt,
        worker_id=placed.worker_id or "",
        incarnation=placed.incarnation or "",
        detail="no room",
    )


def cancel(task_id: str, *, attempt: int = 1) -> TaskCancelRequested:
    return TaskCancelRequested(task_id=task_id, job_id=f"job-of-{task_id}", attempt=attempt)


def desk() -> Desk:
    """An empty desk, long enough after its birth to fence."""
    return Desk(lease=LEASE, patience=LEASE, new_id=lambda: str(uuid.uuid4()), born=at(-100))


def settle(desk: Desk, *, at_second: float = 0) -> Changes:
    """End a turn whose changes the tables take."""
    desk.place(at(at_second))
    changes = desk.take()
    desk.written(changes, [])
    return changes
