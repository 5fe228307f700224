"""Schedules, the queue and explanations over REST, as the scheduler shows them."""

from typing import Self

from pydantic import Field, model_validator

from schemas.model import Model, Name, Timestamp
from schemas.rest.lists import PageQuery
from schemas.specs import Command, EnvName, EnvValue, InlineCommand, Labels, Priority, Resources
from schemas.states import ScheduleStatus, TaskStatus


class ScheduleCreate(InlineCommand):
    """Run `job_id` again, a `pipeline_id`, or an inline `command`: at `run_at`, or on `cron`; neither means now."""

    job_id: str | None = None
    pipeline_id: str | None = None
    run_at: Timestamp | None = None
    cron: str | None = Field(None, max_length=200, description="Not yet supported.")
    timezone: str | None = Field(None, max_length=100, description="For cron. Not yet supported.")
    name: Name | None = None
    priority: Priority = "normal"
    params: dict[EnvName, EnvValue] = Field(default_factory=dict, max_length=500)
    labels: Labels = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        self.exactly_one_of("job_id", "pipeline_id", "command")
        if self.run_at is not None and self.cron is not None:
            raise ValueError("a schedule has run_at or cron, not both")
        return self


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
