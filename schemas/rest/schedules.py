"""Schedules, the queue and explanations over REST, as the scheduler shows them."""

from pydantic import Field, model_validator

from schemas.model import Model, Timestamp
from schemas.rest.lists import PageQuery
from schemas.specs import (
    Command,
    CommandSpec,
    Env,
    EnvName,
    EnvValue,
    Labels,
    Priority,
    Resources,
    RetrySpec,
    Seconds,
    StepType,
)
from schemas.states import ScheduleStatus, TaskStatus


class ScheduleCreate(Model):
    """Run `job_id` again, a `pipeline_id`, or an inline `command`: at `run_at`, or on `cron`; neither means now."""

    job_id: str | None = None
    pipeline_id: str | None = None
    command: Command | None = None
    run_at: Timestamp | None = None
    cron: str | None = Field(None, max_length=200, description="Not yet supported.")
    timezone: str | None = Field(None, max_length=100, description="For cron. Not yet supported.")
    name: str | None = Field(None, min_length=1, max_length=200)
    priority: Priority = "normal"
    params: dict[EnvName, EnvValue] = Field(default_factory=dict, max_length=500)
    labels: Labels = Field(default_factory=dict)
    env: Env = Field(default_factory=dict)
    type: StepType | None = None
    working_dir: str | None = Field(None, min_length=1, max_length=4096)
    timeout: Seconds | None = None
    queue_timeout: Seconds | None = None
    retry: RetrySpec | None = None
    retry_on_lost: bool | None = None
    max_crashes: int | None = Field(None, ge=0, le=100)
    requires: Labels | None = None
    resources: Resources | None = None

    @model_validator(mode="after")
    def _one_of_three(self) -> "ScheduleCreate":
        given = [name for name in ("job_id", "pipeline_id", "command") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("a schedule needs exactly one of job_id, pipeline_id and command")
        if self.run_at is not None and self.cron is not None:
            raise ValueError("a schedule has run_at or cron, not both")
        if self.command is not None:
            self.command_spec()
        return self

    def command_spec(self) -> CommandSpec:
        """The step's fields. Raises ValueError (pydantic's) when they do not fit."""
        names = frozenset(CommandSpec.model_fields)
        return CommandSpec.model_validate({name: value for name in names if (value := getattr(self, name)) is not None})


class Schedule(Model):
    id: str
    status: ScheduleStatus
    name: str | None
    job_id: str | None = Field(description="The job that it runs again.")
    pipeline_id: str | None
    command: Command | None
    run_at: Timestamp | None
    cron: str | None
    timezone: str | None
    next_run_at: Timestamp | None
    last_run_at: Timestamp | None
    last_job_id: str | None = Field(description="The job that its last firing made.")
    last_error: str | None
    created_at: Timestamp


class ScheduleQuery(PageQuery):
    status: ScheduleStatus | None = None
    job_id: str | None = None
    pipeline_id: str | None = None


class QueuedTask(Model):
    """A task that waits, in the order in which it would run."""

    task_id: str
    job_id: str
    name: str
    position: int
    priority: Priority
    attempt: int
    requires: dict[str, str]
    resources: Resources | None
    queued_at: Timestamp
    run_at: Timestamp | None


class QueueQuery(PageQuery):
    priority: Priority | None = None
    job_id: str | None = None


class WorkerVerdict(Model):
    """What one worker says to a waiting task: `fits`, or why not."""

    worker_id: str
    name: str
    fits: bool
    refusal: str | None = Field(description="In words: what the task needs and the worker lacks.")


class Explanation(Model):
    """Why a task waits, or where it is."""

    task_id: str
    job_id: str
    status: TaskStatus
    position: int | None = Field(description="1 is next; null when it does not wait for a worker.")
    summary: str
    workers: list[WorkerVerdict]
