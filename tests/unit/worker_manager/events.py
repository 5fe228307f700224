"""Events for the tests of this area, with everything but what a test is about filled in."""

from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.cloudevents import CloudEvent, wrap
from schemas.events import (
    EventData,
    ExecutionCancelRequested,
    ExecutionFinished,
    ExecutionLost,
    ExecutionReturned,
    ExecutionStarted,
    LogSummary,
    TaskScheduled,
)
from schemas.specs import RunSpec
from schemas.states import ExecutionStatus
from shared.ids import new_id

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=3)


def said(data: EventData, *, at: datetime = NOON, traceparent: str | None = None) -> CloudEvent[EventData]:
    return wrap(data, id=new_id(), source="/hodei/test", time=at, traceparent=traceparent)


class Script:
    """One execution, and the events that may be said of it."""

    def __init__(
        self,
        worker_id: str | None = None,
        incarnation: str | None = None,
        *,
        labels: dict[str, str] | None = None,
        **ids: str,
    ) -> None:
        self.execution_id = ids.get("execution_id") or new_id()
        self.task_id = ids.get("task_id") or new_id()
        self.job_id = ids.get("job_id") or new_id()
        self.worker_id = worker_id or new_id()
        self.worker_name = ids.get("worker_name")
        self.labels = labels
        self.incarnation = incarnation or new_id()

    @property
    def _ids(self) -> dict[str, Any]:
        return {
            "execution_id": self.execution_id,
            "task_id": self.task_id,
            "job_id": self.job_id,
            "attempt": 1,
            "worker_id": self.worker_id,
            "worker_name": self.worker_name,
            "labels": self.labels,
        }

    def scheduled(self, **run: Any) -> TaskScheduled:
        return TaskScheduled(
            **self._ids,
            incarnation=self.incarnation,
            name="step",
            run=RunSpec(**({"command": "true", "env": {"TOKEN": "secret"}} | run)),
            scheduled_at=NOON,
        )

    def started(self) -> ExecutionStarted:
        return ExecutionStarted(**self._ids, incarnation=self.incarnation, started_at=NOON)

    def finished(
        self,
        status: ExecutionStatus = ExecutionStatus.SUCCEEDED,
        *,
        exit_code: int = 0,
        chunks: int = 0,
        outputs: dict[str, str] | None = None,
    ) -> ExecutionFinished:
        return ExecutionFinished(
            **self._ids,
            incarnation=self.incarnation,
            status=status,
            exit_code=exit_code,
            started_at=NOON,
            finished_at=LATER,
            log=LogSummary(chunks=chunks),
            outputs=outputs,
        )

    def lost(self) -> ExecutionLost:
        return ExecutionLost(**self._ids, incarnation=self.incarnation, detail="its lease ran out", lost_at=LATER)

    def returned(self) -> ExecutionReturned:
        return ExecutionReturned(**self._ids, incarnation=self.incarnation, detail="draining")

    def cancel(self) -> ExecutionCancelRequested:
        return ExecutionCancelRequested(**self._ids)
