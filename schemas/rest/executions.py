"""Executions over REST, as the worker manager shows them, and running one directly."""

from typing import Literal

from pydantic import Field, model_validator

from schemas.model import Model, Timestamp
from schemas.rest.lists import PageQuery
from schemas.specs import (
    Command,
    CommandSpec,
    Env,
    Labels,
    Priority,
    Resources,
    RetrySpec,
    Seconds,
    StepType,
)
from schemas.states import ExecutionStatus, Reason


class ExecuteRequest(Model):
    """Run a `command` (with the fields of a step), or the command of an earlier job (`job_id`) once more."""

    job_id: str | None = None
    command: Command | None = None
    type: StepType | None = None
    env: Env = Field(default_factory=dict)
    working_dir: str | None = Field(None, min_length=1, max_length=4096)
    timeout: Seconds | None = None
    queue_timeout: Seconds | None = None
    retry: RetrySpec | None = None
    retry_on_lost: bool | None = None
    max_crashes: int | None = Field(None, ge=0, le=100)
    requires: Labels | None = None
    resources: Resources | None = None
    name: str | None = Field(None, min_length=1, max_length=200)
    priority: Priority = "normal"

    @model_validator(mode="after")
    def _one_of_two(self) -> "ExecuteRequest":
        if (self.job_id is None) == (self.command is None):
            raise ValueError("an execution needs exactly one of command and job_id")
        if self.command is not None:
            self.command_spec()
        return self

    def command_spec(self) -> CommandSpec:
        """The step's fields. Raises ValueError (pydantic's) when they do not fit."""
        names = frozenset(CommandSpec.model_fields)
        return CommandSpec.model_validate({name: value for name in names if (value := getattr(self, name)) is not None})


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
