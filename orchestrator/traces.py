"""The spans of jobs: `job`, from its submission to its end, and inside it one `attempt` for each attempt of each task.

A job keeps the trace context in which it was submitted. All other contexts are derived from that and from ids, so that
an attempt a day later, or after a restart, is in the same trace. Spans are recorded when the transaction that ends
their job or attempt has committed: the end of a job's span is the last write. A job without a trace costs nothing; if
its trace is not recorded, only the context is passed on. Other services record what happens within an attempt
(docs/adr/0005-one-trace-through-batches.md).
"""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Final, assert_never

from orchestrator.domain.orders import Entry
from orchestrator.domain.run import JobRun
from orchestrator.domain.state import JobState
from schemas.events import (
    EventData,
    ExecutionFinished,
    ExecutionLost,
    JobCancelled,
    JobFailed,
    JobSucceeded,
    TaskCancelRequested,
    TaskExpired,
    TaskQueued,
    TaskWithdrawn,
)
from schemas.states import JobStatus, Reason
from shared.clock import now
from shared.outbox import OutboxTransaction
from shared.telemetry import Attribute, SpanKind, Tracing

_Ending = ExecutionFinished | ExecutionLost | TaskExpired | TaskWithdrawn
_ENDINGS: Final = (ExecutionFinished, ExecutionLost, TaskExpired, TaskWithdrawn)
_JOB_ENDS: Final = (JobSucceeded, JobFailed, JobCancelled)


class Traces:
    """The trace contexts of a job's events, and the spans that the orchestrator records."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def order(self, tx: OutboxTransaction, order: TaskQueued, traceparent: str | None) -> None:
        """Emit an order in the trace context of its attempt. `traceparent` is the job's, if it has a trace."""
        own = None if traceparent is None else self._attempt(order.job_id, traceparent, order.task_id, order.attempt)
        tx.emit(order, traceparent=own)

    def emit(self, tx: OutboxTransaction, job: JobState, events: Iterable[EventData]) -> None:
        """Emit a job's events: orders in the trace context of their attempt, all others in the job's."""
        if job.traceparent is None:
            tx.emit(*events)
            return
        of_job = self._job(job, job.traceparent)
        for event in events:
            if isinstance(event, TaskQueued | TaskCancelRequested):
                tx.emit(event, traceparent=self._attempt(job.id, job.traceparent, event.task_id, event.attempt))
            else:
                tx.emit(event, traceparent=of_job)

    def follow(self, tx: OutboxTransaction, run: JobRun, began: datetime) -> None:
        """After the commit, record the spans of the attempts and of the job that the transaction ended. It began at
        `began`."""
        if self._tracing.records(run.job.traceparent):
            tx.on_commit(partial(self._write, run, began))

    def _attempt(self, job_id: str, traceparent: str, task_id: str, attempt: int) -> str:
        """The context of one attempt's span. `traceparent` is the job's."""
        return self._tracing.within(traceparent, "attempt", job_id, task_id, attempt)

    def _job(self, job: JobState, traceparent: str) -> str:
        return self._tracing.within(traceparent, "job", job.id)

    def _write(self, run: JobRun, began: datetime) -> None:
        committed = now()
        for entry in run.journal:
            if entry.observed and isinstance(entry.event, _ENDINGS):
                self._write_attempt(run, entry, entry.event, began, committed)
            elif isinstance(entry.event, _JOB_ENDS):
                self._write_job(run.job, committed)

    def _write_attempt(self, run: JobRun, entry: Entry, ending: _Ending, began: datetime, committed: datetime) -> None:
        job, task = run.job, run.tasks[ending.task_id]
        assert job.traceparent is not None  # `follow` checked it
        own = self._attempt(job.id, job.traceparent, ending.task_id, ending.attempt)
        outcome, reason, exit_code = _outcome(ending)
        attributes: dict[str, Attribute | None] = {
            "hodei.job_id": job.id,
            "hodei.task_id": ending.task_id,
            "hodei.task_name": task.name,
            "hodei.attempt": ending.attempt,
            "hodei.execution_id": None if isinstance(ending, TaskExpired | TaskWithdrawn) else ending.execution_id,
            "hodei.worker_id": None if isinstance(ending, TaskExpired | TaskWithdrawn) else ending.worker_id,
            "hodei.outcome": outcome,
            "hodei.reason": None if reason is None else reason.value,
            "hodei.exit_code": exit_code,
        }
        self._tracing.record(
            "record outcome",
            parent=own,
            start=began,
            end=committed,
            kind=SpanKind.CONSUMER,
            attributes={**attributes, "hodei.event": ending.event_type, "hodei.task_status": task.status.value},
        )
        self._tracing.record(
            "attempt",
            parent=self._job(job, job.traceparent),
            context=own,
            start=run.queued_before.get(ending.task_id) or entry.at,
            end=committed,
            attributes=attributes,
            error=_error(outcome, reason),
        )

    def _write_job(self, job: JobState, committed: datetime) -> None:
        assert job.traceparent is not None  # `follow` checked it
        self._tracing.record(
            "job",
            parent=job.traceparent,
            context=self._job(job, job.traceparent),
            start=job.created_at,
            end=committed,
            attributes={
                "hodei.job_id": job.id,
                "hodei.pipeline_id": job.pipeline_id,
                "hodei.priority": job.priority,
                "hodei.outcome": job.status.value,
                "hodei.reason": None if job.reason is None else job.reason.value,
            },
            error=(job.reason or Reason.EXIT_CODE).value if job.status is JobStatus.FAILED else None,
        )


def _outcome(ending: _Ending) -> tuple[str, Reason | None, int | None]:
    match ending:
        case ExecutionFinished():
            return ending.status.value, ending.reason, ending.exit_code
        case ExecutionLost():
            return "lost", ending.reason, None
        case TaskExpired():
            return "expired", Reason.QUEUE_TIMEOUT, None
        case TaskWithdrawn():
            return "cancelled", ending.reason, None
        case _:
            assert_never(ending)


def _error(outcome: str, reason: Reason | None) -> str | None:
    """The error of an outcome. A cancellation was requested, so it is not an error."""
    if outcome in ("succeeded", "cancelled"):
        return None
    return outcome if reason is None else reason.value
