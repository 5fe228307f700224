"""Makes the messages to workers out of the scheduler's decisions: one message per worker, orders before stops.

Here: grouping and encoding. Not here: sending and recording (`worker_manager.consumers`), and sending lost orders again
(`worker_manager.redelivery`).
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic_core import to_json

from schemas.agents import Assignment, Dispatch, Stop
from schemas.cloudevents import CloudEvent
from schemas.events import EventData, ExecutionCancelRequested, ExecutionFinished, TaskScheduled
from schemas.states import ExecutionStatus, Reason

LARGEST_DISPATCH: Final = 256 * 1024
"""Bytes of one message to a worker, half of what a NATS server has to take; a larger order goes alone."""

TOO_LARGE: Final = "larger than the NATS server's max_payload, which was lowered after this was submitted"


@dataclass(frozen=True, slots=True)
class Order:
    """One execution for one incarnation of a worker; `assignment` is the `Assignment` as JSON, as it is sent."""

    execution_id: str
    task_id: str
    job_id: str
    worker_id: str
    incarnation: str
    attempt: int
    assignment: bytes
    scheduled_at: datetime
    worker_name: str | None = None
    traceparent: str | None = None
    labels: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message on core NATS to one worker. `count`: how many executions it is about."""

    worker_id: str
    payload: bytes
    count: int


def orders(events: Iterable[CloudEvent[EventData]], *, but: Set[str] = frozenset()) -> list[Order]:
    """The orders among the events, in their order and each once. Orders for the executions in `but` are left out."""
    found: dict[str, Order] = {}
    for event in events:
        data = event.data
        if isinstance(data, TaskScheduled) and data.execution_id not in found and data.execution_id not in but:
            found[data.execution_id] = Order(
                execution_id=data.execution_id,
                task_id=data.task_id,
                job_id=data.job_id,
                worker_id=data.worker_id,
                incarnation=data.incarnation,
                attempt=data.attempt,
                assignment=_encode(data, event.traceparent),
                scheduled_at=data.scheduled_at,
                worker_name=data.worker_name,
                traceparent=event.traceparent,
                labels=data.labels,
            )
    return list(found.values())


def dispatches(worker_orders: Iterable[tuple[str, str, bytes]], *, limit: int = LARGEST_DISPATCH) -> Iterator[Message]:
    """Messages (`schemas.agents.Dispatch`) of at most `limit` bytes, out of (worker, incarnation, assignment)."""
    groups: dict[tuple[str, str], list[bytes]] = {}
    for worker_id, incarnation, assignment in worker_orders:
        groups.setdefault((worker_id, incarnation), []).append(assignment)
    for (worker_id, incarnation), assignments in groups.items():
        for part in _parts(assignments, limit):
            payload = b'{"incarnation":%b,"assignments":[%b]}' % (to_json(incarnation), b",".join(part))
            yield Message(worker_id, payload, len(part))


def undeliverable(message: Message, moment: datetime) -> list[ExecutionFinished]:
    """The outcomes of the executions of a dispatch that is larger than the NATS server accepts."""
    dispatch = Dispatch.model_validate_json(message.payload)
    return [
        ExecutionFinished(
            execution_id=one.execution_id,
            task_id=one.task_id,
            job_id=one.job_id,
            attempt=one.attempt,
            worker_id=message.worker_id,
            incarnation=dispatch.incarnation,
            labels=one.labels,
            status=ExecutionStatus.FAILED,
            reason=Reason.TOO_LARGE,
            detail=TOO_LARGE,
            finished_at=moment,
        )
        for one in dispatch.assignments
    ]


def stops(events: Iterable[CloudEvent[EventData]]) -> list[Message]:
    """One message (`schemas.agents.Stop`) per worker and reason, for the executions to be cancelled."""
    groups: dict[tuple[str, Reason], list[str]] = {}
    for event in events:
        if isinstance(event.data, ExecutionCancelRequested):
            groups.setdefault((event.data.worker_id, event.data.reason), []).append(event.data.execution_id)
    return [
        Message(worker_id, Stop(execution_ids=ids, reason=reason).model_dump_json().encode(), len(ids))
        for (worker_id, reason), ids in groups.items()
    ]


def _encode(data: TaskScheduled, traceparent: str | None) -> bytes:
    # Without validation: the event was validated when it was decoded.
    assignment = Assignment(
        execution_id=data.execution_id,
        task_id=data.task_id,
        job_id=data.job_id,
        attempt=data.attempt,
        name=data.name,
        labels=data.labels,
        run=data.run,
        traceparent=traceparent,
    )
    return Assignment.__pydantic_serializer__.to_json(assignment, exclude_none=True)


def _parts(assignments: Sequence[bytes], limit: int) -> Iterator[Sequence[bytes]]:
    part: list[bytes] = []
    size = 0
    for assignment in assignments:
        if part and size + len(assignment) > limit:
            yield part
            part, size = [], 0
        part.append(assignment)
        size += len(assignment) + 1
    if part:
        yield part
