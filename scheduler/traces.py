"""The spans of the scheduler's decisions: `place`, from the time at which an attempt could run; `lose`; `fire`.

They are written when the deciding turn is committed; `lose` ends at the event's `lost_at`. An attempt keeps its trace
context from its arrival to its end, in memory and in its row. While tracing is off this module does nothing.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from scheduler.domain.changes import Changes
from scheduler.domain.model import PRIORITY_NAMES, Outcome, Task, TaskState
from schemas.events import ExecutionLost
from shared.clock import now
from shared.telemetry import Attribute, SpanKind, Tracing

_NEVER_PLACED: Final = {Outcome.EXPIRED: "queue_timeout", Outcome.WITHDRAWN: None}
"""Outcomes without a worker, and the error of their spans."""


class Traces:
    """The spans that the leader writes."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def written(self, changes: Changes, refused: Collection[str]) -> None:
        """Write the spans of a committed turn; `refused` are the ids of the arrivals that the tables refused."""
        if not self._tracing.enabled:
            return
        moment = now()
        lost_at = {event.task_id: event.lost_at for event in changes.events if isinstance(event, ExecutionLost)}
        for task in changes.scheduled:
            if self._tracing.records(task.traceparent) and task.task_id not in refused:
                self._place(task, task.traceparent, task.placed_at or moment, moment, outcome="placed")
        for task in (*changes.updates, *changes.arrivals):
            ended = task.state is TaskState.DONE and task.task_id not in refused
            if ended and self._tracing.records(task.traceparent):
                self._end(task, task.traceparent, lost_at.get(task.task_id, moment))

    def fired(self, traceparent: str, *, schedule_id: str, job_id: str, due: datetime) -> None:
        """Write the span of a fired schedule."""
        self._tracing.record(
            "fire",
            parent=traceparent,
            context=self.firing(traceparent, job_id),
            start=due,
            end=now(),
            kind=SpanKind.PRODUCER,
            attributes={"hodei.schedule_id": schedule_id, "hodei.job_id": job_id},
        )

    def firing(self, traceparent: str, job_id: str) -> str:
        """The trace context of the job that a schedule of this trace fires."""
        return self._tracing.within(traceparent, "fire", job_id)

    def _place(
        self,
        task: Task,
        traceparent: str,
        decided: datetime,
        moment: datetime,
        *,
        outcome: str,
        error: str | None = None,
    ) -> None:
        """Write the span of an attempt's wait from `ready_at` until it was `decided`: placed or ended without a
        worker."""
        self._tracing.record(
            "place",
            parent=traceparent,
            start=task.ready_at,
            end=moment,
            kind=SpanKind.CONSUMER,
            attributes={
                **_attributes(task),
                "hodei.queue_wait_seconds": max(0.0, (decided - task.ready_at).total_seconds()),
                "hodei.outcome": outcome,
            },
            error=error,
        )

    def _end(self, task: Task, traceparent: str, moment: datetime) -> None:
        if task.outcome is Outcome.LOST:
            self._tracing.record(
                "lose",
                parent=traceparent,
                start=task.placed_at or moment,
                end=moment,
                attributes={**_attributes(task), "hodei.outcome": "lost", "hodei.reason": "lost"},
                error="lost",
            )
        elif task.outcome in _NEVER_PLACED:
            unplaced = _NEVER_PLACED[task.outcome]
            self._place(task, traceparent, moment, moment, outcome=task.outcome.value, error=unplaced)


def _attributes(task: Task) -> dict[str, Attribute | None]:
    return {
        "hodei.job_id": task.job_id,
        "hodei.task_id": task.task_id,
        "hodei.task_name": task.name,
        "hodei.attempt": task.attempt,
        "hodei.execution_id": task.execution_id,
        "hodei.worker_id": task.worker_id,
        "hodei.priority": PRIORITY_NAMES[task.priority],
    }
