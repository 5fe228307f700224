"""Executions over REST, as the worker manager shows them, and running one directly."""

from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.model import Model, Name, Timestamp
from schemas.rest.lists import PageQuery
from schemas.specs import InlineCommand, Priority
from schemas.states import ExecutionStatus, Reason


class ExecuteRequest(InlineCommand):
    """Run a `command` (with the fields of a step), or the command of an earlier job (`job_id`) once more."""

    job_id: str | None = None
    name: Name | None = None
    priority: Priority = "normal"

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        self.exactly_one_of("job_id", "command")
        return self


class ManagedExecution(Model):
    id: str
    task_id: str
    job_id: str
    worker_id: str | None
    attempt: int
    status: ExecutionStatus
    reason: Reason | None
    detail: str | None
    exit_code: int | None
    continued_as: str | None = Field(
        None,
        description="The execution that took its place, when its worker gave it back before it began (`returned`).",
    )
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None


class ExecutionQuery(PageQuery):
    status: ExecutionStatus | None = None
    job_id: str | None = None
    task_id: str | None = None
    worker_id: str | None = None


class LogLineView(Model):
    timestamp: Timestamp
    stream: Literal["stdout", "stderr", "system"]
    message: str


class ExecutionLogs(Model):
    execution_id: str
    logs: list[LogLineView]
    truncated: bool
