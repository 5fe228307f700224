"""Events of executions. The agent publishes them, except where a class names a service."""

from typing import Final, Literal

from pydantic import Field, model_validator

from schemas.access import Actor
from schemas.events.base import EventData
from schemas.events.target import JobTarget
from schemas.model import EventModel, Instant
from schemas.outputs import fault_of
from schemas.refusals import RefusedField, VerdictReason, reason_of_status
from schemas.states import ExecutionStatus, Reason, StopReason

OUTPUTS_REFUSED: Final = (
    "its outputs were dropped: they are larger than the NATS server takes, whose max_payload was lowered"
)


class _ExecutionEvent(EventData):
    execution_id: str
    task_id: str
    job_id: str
    attempt: int

    def entity_id(self) -> str:
        return self.execution_id


class _Report(_ExecutionEvent):
    """An event of an execution that has a worker."""

    worker_id: str
    worker_name: str | None = Field(None, description="The worker's name, if it is known.")
    incarnation: str
    labels: dict[str, str] | None = Field(None, description="Those of the step; absent where there are none.")


class ExecutionStarted(_Report):
    event_type = "executions.started"
    started_at: Instant


class LogSummary(EventModel):
    """What was written to the execution's log: a reader that saw `chunks` chunks saw everything. `bytes` are
    those of the lines as UTF-8, without their ends."""

    chunks: int = 0
    lines: int = 0
    bytes: int = 0
    truncated: bool = False


class ExecutionFinished(_Report):
    event_type = "executions.finished"
    status: Literal[
        ExecutionStatus.SUCCEEDED,
        ExecutionStatus.FAILED,
        ExecutionStatus.CANCELLED,
        ExecutionStatus.TIMED_OUT,
    ]
    reason: Reason | None = None
    detail: str | None = Field(None, description="The reason in words, if there is more to it than `reason`.")
    exit_code: int | None = Field(None, description="128 + N when signal N ended the process; null if none started.")
    started_at: Instant | None = None
    finished_at: Instant
    log: LogSummary = LogSummary()
    outputs: dict[str, str] | None = Field(
        None, description="What the process wrote to $HODEI_OUTPUT, by name; absent when it wrote nothing."
    )

    def checked(self) -> "ExecutionFinished":
        """The outcome itself, or without its outputs if no agent that works well can have sent them."""
        fault = fault_of(self.outputs) if self.outputs else None
        return self if fault is None else self.without_outputs(f"its outputs were dropped: {fault}")

    def without_outputs(self, why: str = OUTPUTS_REFUSED) -> "ExecutionFinished":
        """The outcome without its outputs; a success has failed without them. By default, the NATS server does not take
        them."""
        lost = {"outputs": None, "detail": self.detail or why}
        if self.status is ExecutionStatus.SUCCEEDED:
            lost |= {"status": ExecutionStatus.FAILED, "reason": Reason.BAD_OUTPUT}
        return self.model_copy(update=lost)


class ExecutionLost(_Report):
    """By the scheduler: the worker's lease ran out, or its process ended, with the execution on it."""

    event_type = "executions.lost"
    reason: Literal[Reason.LOST, Reason.WORKER_STOPPED] = Field(
        Reason.LOST, description="`worker_stopped`: the worker was stopped on request; this does not count as a crash."
    )
    detail: str
    lost_at: Instant


class ExecutionReturned(_Report):
    """The agent gave it back before it began; the scheduler places the same attempt again."""

    event_type = "executions.returned"
    detail: str


class ExecutionCancelRequested(_ExecutionEvent):
    """By the scheduler: the execution is placed; its worker must stop it."""

    event_type = "executions.cancel_requested"
    worker_id: str
    reason: StopReason = Reason.CANCELLED


class ExecutionRequested(_ExecutionEvent):
    """By the worker manager: a client requested this execution directly; the orchestrator must use these ids."""

    event_type = "executions.requested"
    target: JobTarget
    created_by: Actor | None = Field(None, description="Who requested it; absent with access off.")


class ExecutionRefused(_ExecutionEvent):
    """By the orchestrator: the requested execution names something that does not exist or cannot run. Version 1
    has an HTTP `status` (404, 409 or 422) in place of `reason`, and is still read."""

    event_type = "executions.refused"
    version = 2
    reason: VerdictReason = Field(description="Why the request was refused.")
    detail: str
    errors: list[RefusedField] | None = Field(None, description="The fields that are not valid, if any.")

    _version_1 = model_validator(mode="before")(reason_of_status)


class ExecutionCompleted(_ExecutionEvent):
    """By the orchestrator: the requested execution ended well without a process. Its job has no steps: there was
    nothing to run."""

    event_type = "executions.completed"
    finished_at: Instant
