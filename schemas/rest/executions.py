"""Executions over REST, as the worker manager shows them, and running one directly."""

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from schemas.access import Actor
from schemas.events import LogGap
from schemas.model import Id, Model, Name, OrDefault, Timestamp
from schemas.rest.lists import LabelQuery, Who
from schemas.rest.logs import LogsShown
from schemas.specs import InlineCommand, Priority
from schemas.states import ExecutionStatus, Reason


class ExecuteRequest(InlineCommand):
    """Run a `command` (with the fields of a step), or the command of an earlier job (`job_id`) once more."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"command": ["echo", "hello"]}]})

    job_id: str | None = Field(None, description="An earlier job with one step, to run again.")
    name: Name | None = Field(None, description="The name of the job that this creates.")
    priority: OrDefault[Priority] = Field("normal", description="Waiting tasks of a higher priority are placed first.")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        self.exactly_one_of("job_id", "command")
        return self


class ManagedExecution(Model):
    """One attempt of a task on a worker, as the worker manager knows it."""

    id: Id = Field(description="The execution's id.")
    task_id: Id = Field(description="The task of which it is an attempt.")
    job_id: Id = Field(description="The job of that task.")
    worker_id: Id | None = Field(description="The worker on which it was placed; null until then.")
    worker_name: str | None = Field(None, description="The name of that worker at the time, if it is known.")
    attempt: int = Field(description="Which attempt of the task this is, counted from 1.")
    labels: dict[str, str] = Field(default_factory=dict, description="The labels of its step.")
    status: ExecutionStatus = Field(description="Its status.")
    reason: Reason | None = Field(description="Why it did not succeed.")
    detail: str | None = Field(description="The reason in words, if there is more to it than `reason`.")
    exit_code: int | None = Field(description="The process's exit code; 128 + N when signal N ended it.")
    continued_as: Id | None = Field(
        None,
        description="The execution that replaced it, if its worker gave it back before it started (`returned`).",
    )
    created_by: Actor | None = Field(
        None, description="Who requested it directly; null for those of other jobs, and with access off."
    )
    created_at: Timestamp = Field(description="When it was requested, or placed.")
    started_at: Timestamp | None = Field(description="When its process started.")
    finished_at: Timestamp | None = Field(description="When its process ended.")


class ExecutionQuery(LabelQuery):
    status: ExecutionStatus | None = Field(None, description="Only executions with this status.")
    job_id: str | None = Field(None, description="Only executions of this job.")
    task_id: str | None = Field(None, description="Only executions of this task.")
    worker_id: str | None = Field(None, description="Only executions on this worker.")
    reason: Reason | None = Field(None, description="Only executions with this reason.")
    attempt: int | None = Field(None, ge=1, le=2**31 - 1, description="Only executions with this attempt number.")
    exit_code: int | None = Field(None, ge=0, le=255, description="Only executions with this exit code.")
    worker_name: str | None = Field(None, description="Only executions on workers with exactly this name.")
    created_by: Who = Field(None, description="Only executions that this token requested directly: its id or its name.")
    created_after: Timestamp | None = Field(None, description="Only executions created at this time or later.")
    created_before: Timestamp | None = Field(None, description="Only executions created before this time.")


class LogLineView(Model):
    """One line of output, or a piece of one; fields that do not apply are absent."""

    line: int | None = Field(
        None,
        description="The line's number in the execution's output, from 1; pieces of a line have the same. "
        "Absent if it is unknown.",
    )
    timestamp: Timestamp = Field(description="When the worker read the line.")
    stream: Literal["stdout", "stderr", "system"] = Field(
        description="The stream. Lines of `system` are messages of the platform."
    )
    message: str = Field(
        description="The line without its end, as text: U+FFFD replaces a NUL and bytes that are not UTF-8."
    )
    partial: bool | None = Field(
        None, description="True when this is part of a line: the next entry of the same stream continues it."
    )
    crlf: bool | None = Field(None, description="True when the line ended with CR LF and not with LF alone.")
    base64: str | None = Field(
        None, description="The original bytes of the message, without a line end, if its UTF-8 has others."
    )
    remark: str | None = Field(
        None,
        description="What a system line is about: `held_back` (the output is long, and only its end will follow), "
        "`left_out` (output over the limit is missing here), `lost` (output that could not be delivered is), `ended` "
        "(processes that kept the output open after the command's exit were ended), `expired` "
        "(output is no longer kept), `unavailable` (it is not there: no longer kept, or not delivered yet), "
        "`shortened` (a very long line is not shown or searched completely in a part of the output).",
    )
    missing: LogGap | None = Field(None, description="How much output is missing at this line, if it is known.")
    id: str | None = Field(
        None, description="Resumes a live stream after this line (Last-Event-ID); set by the client when it follows."
    )


class ExecutionLogs(LogsShown):
    """The output of one execution."""

    execution_id: Id = Field(description="The execution's id.")
    logs: list[LogLineView] = Field(description="The lines, in order.")
