"""The spans of an execution: `execute`, from its order to its outcome, and inside it `process`, from start to exit.

They are recorded when the outcome is known. Their ids are derived from the execution's id, so that its process can get
its place in the trace (TRACEPARENT) before there is any span. An execution without a trace costs one check of a field.
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
    """Records the spans of this agent's executions."""

    def __init__(self, tracing: Tracing, *, worker_id: str) -> None:
        self._tracing = tracing
        self._worker_id = worker_id
        self._received: dict[str, datetime] = {}
        """When the orders with a trace arrived, by execution id; at most as many as the agent holds."""

    def received(self, assignment: Assignment) -> None:
        """Note that an order was accepted."""
        if self._tracing.records(assignment.traceparent):
            self._received[assignment.execution_id] = now()

    def environment(self, assignment: Assignment) -> Mapping[str, str]:
        """The variable that shows the process its place in the trace; none if the step sets that variable itself."""
        if assignment.traceparent is None or VARIABLE in assignment.run.env:
            return {}
        return {VARIABLE: self._tracing.within(assignment.traceparent, "process", assignment.execution_id)}

    def unstarted(self, assignment: Assignment, outcome: str, *, reason: Reason | None = None) -> None:
        """Record an execution that did not begin: given back, stopped before its start, or impossible to start."""
        if assignment.execution_id in self._received:
            self._execute(assignment, outcome, reason, "start_failed" if reason is Reason.START_FAILED else None)

    def finished(self, assignment: Assignment, outcome: ExecutionFinished, *, silent: bool) -> None:
        """Record an execution whose process is gone and whose log is complete. A `silent` one is lost or fenced."""
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
