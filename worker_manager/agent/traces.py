"""The spans of an execution: `execute`, from its order to its outcome, and in it `process`, from start to exit.

They are written when the outcome is known. The ids are derived from the execution's, so that its process can be told
its place in the trace (TRACEPARENT) before there is any span. An execution without a trace costs a look at a field.
"""

from collections.abc import Mapping
from datetime import datetime

from schemas.agents import Assignment
from schemas.events import ExecutionFinished
from schemas.states import ExecutionStatus, Reason
from shared.clock import now
from shared.telemetry import Attribute, SpanKind, Tracing

VARIABLE = "TRACEPARENT"


class Traces:
    """What this agent writes of its executions."""

    def __init__(self, tracing: Tracing, *, worker_id: str) -> None:
        self._tracing = tracing
        self._worker_id = worker_id
        self._received: dict[str, datetime] = {}
        """When orders came of which a span is to be written; as many as the agent holds."""

    def received(self, assignment: Assignment) -> None:
        """An order was taken."""
        if self._tracing.records(assignment.traceparent):
            self._received[assignment.execution_id] = now()

    def environment(self, assignment: Assignment) -> Mapping[str, str]:
        """What the process is told of its trace: where it stands in it. A step may have named one of its own."""
        if assignment.traceparent is None or VARIABLE in assignment.run.env:
            return {}
        return {VARIABLE: self._tracing.within(assignment.traceparent, "process", assignment.execution_id)}

    def unstarted(self, assignment: Assignment, outcome: str, *, reason: Reason | None = None) -> None:
        """It was not begun: given back, stopped before its start, or impossible to start."""
        if assignment.execution_id in self._received:
            self._execute(assignment, outcome, reason, "start_failed" if reason is Reason.START_FAILED else None)

    def finished(self, assignment: Assignment, outcome: ExecutionFinished, *, silent: bool) -> None:
        """Its process is gone and its log complete. A `silent` outcome counts nowhere, for it is lost or fenced."""
        if assignment.execution_id not in self._received:
            return
        ended = "lost" if silent else outcome.status.value
        failed = ended not in (ExecutionStatus.SUCCEEDED.value, ExecutionStatus.CANCELLED.value)
        error = (outcome.reason.value if outcome.reason else ended) if failed else None
        execute = self._tracing.within(assignment.traceparent or "", "execute", assignment.execution_id)
        if outcome.started_at is not None:
            self._tracing.record(
                "process",
                parent=execute,
                context=self._tracing.within(execute, "process", assignment.execution_id),
                start=outcome.started_at,
                end=outcome.finished_at,
                attributes={
                    **self._attributes(assignment, ended, outcome.reason),
                    "process.exit.code": outcome.exit_code,
                    "hodei.exit_code": outcome.exit_code,
                    "hodei.log_lines": outcome.log.lines,
                    "hodei.log_bytes": outcome.log.bytes,
                },
                error=error,
            )
        self._execute(assignment, ended, outcome.reason, error, started_at=outcome.started_at)

    def _execute(
        self,
        assignment: Assignment,
        outcome: str,
        reason: Reason | None,
        error: str | None,
        *,
        started_at: datetime | None = None,
    ) -> None:
        parent = assignment.traceparent or ""
        self._tracing.record(
            "execute",
            parent=parent,
            context=self._tracing.within(parent, "execute", assignment.execution_id),
            start=self._received.pop(assignment.execution_id),
            end=now(),
            kind=SpanKind.CONSUMER,
            attributes=self._attributes(assignment, outcome, reason),
            error=error,
            events={"started": started_at},
        )

    def _attributes(self, assignment: Assignment, outcome: str, reason: Reason | None) -> dict[str, Attribute | None]:
        return {
            "hodei.job_id": assignment.job_id,
            "hodei.task_id": assignment.task_id,
            "hodei.task_name": assignment.name,
            "hodei.execution_id": assignment.execution_id,
            "hodei.worker_id": self._worker_id,
            "hodei.attempt": assignment.attempt,
            "hodei.outcome": outcome,
            "hodei.reason": None if reason is None else reason.value,
        }
