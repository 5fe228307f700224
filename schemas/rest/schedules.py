"""Schedules, the queue and explanations over REST, as the scheduler shows them."""

from typing import Self

from pydantic import ConfigDict, Field, model_validator

from schemas.model import Id, Model, Name, OrDefault, Timestamp
from schemas.rest.lists import PageQuery, check_pairs
from schemas.specs import Command, InlineCommand, LabelFilter, Labels, Parameters, Priority, Resources
from schemas.states import ScheduleStatus, TaskStatus


class ScheduleCreate(InlineCommand):
    """Run `job_id` again, a `pipeline_id`, or an inline `command`: at `run_at`, or on `cron`; neither means now."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"command": "echo good morning", "run_at": "2030-01-01T06:00:00Z"}]}
    )

    job_id: str | None = Field(None, description="An earlier job to run again.")
    pipeline_id: str | None = Field(None, description="A pipeline to run.")
    run_at: Timestamp | None = Field(None, description="When it is due; without it, now.")
    cron: str | None = Field(None, max_length=200, description="Not yet supported.")
    timezone: str | None = Field(None, max_length=100, description="For cron. Not yet supported.")
    name: Name | None = Field(None, description="What people call the schedule, and the job that it makes.")
    priority: OrDefault[Priority] = Field("normal", description="The priority of the job that it makes.")
    params: OrDefault[Parameters] = Field(
        default_factory=dict, description="Parameters of the job; not beside an inline `command`."
    )
    labels: OrDefault[Labels] = Field(default_factory=dict, description="The labels of the job that it makes.")

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        self.exactly_one_of("job_id", "pipeline_id", "command")
        if self.run_at is not None and self.cron is not None:
            raise ValueError("a schedule has run_at or cron, not both")
        if self.command is not None and self.params:
            raise ValueError("params belong to a job of a pipeline; give a single command its env")
        return self


class Schedule(Model):
    """Something that runs at a certain time."""

    id: Id = Field(description="The schedule's id.")
    status: ScheduleStatus = Field(description="Whether it is still to fire, or how it ended.")
    name: str | None = Field(description="What people call it.")
    job_id: Id | None = Field(description="The job that it runs again.")
    pipeline_id: Id | None = Field(description="The pipeline that it runs.")
    command: Command | None = Field(description="The command that it runs.")
    run_at: Timestamp | None = Field(description="When it was asked to run; null for now.")
    cron: str | None = Field(description="Not yet supported: null.")
    timezone: str | None = Field(description="Not yet supported: null.")
    next_run_at: Timestamp | None = Field(description="When it fires next.")
    last_run_at: Timestamp | None = Field(description="When it fired last.")
    last_job_id: Id | None = Field(description="The job that its last firing made.")
    last_error: str | None = Field(description="Why its last firing made no job.")
    created_at: Timestamp = Field(description="When it was accepted.")


class ScheduleQuery(PageQuery):
    status: ScheduleStatus | None = Field(None, description="Only schedules of this status.")
    name: str | None = Field(None, description="Only schedules of exactly this name.")
    job_id: str | None = Field(None, description="Only schedules that run this job again.")
    pipeline_id: str | None = Field(None, description="Only schedules of this pipeline.")


class QueuedTask(Model):
    """A task that waits, in the order in which it would run."""

    task_id: Id = Field(description="The task's id.")
    job_id: Id = Field(description="The job that it is a task of.")
    name: str = Field(description="The step's name.")
    position: int = Field(description="Its place among all that match the filters; 1 is next.")
    priority: Priority = Field(description="The job's priority.")
    attempt: int = Field(description="The attempt that waits, counted from 1.")
    requires: dict[str, str] = Field(description="Labels that its worker must have.")
    resources: Resources | None = Field(description="What it needs of its worker.")
    queued_at: Timestamp = Field(description="When it became ready to run.")
    run_at: Timestamp | None = Field(description="It does not start before this moment.")


class QueueQuery(PageQuery):
    priority: Priority | None = Field(None, description="Only tasks of this priority.")
    job_id: str | None = Field(None, description="Only tasks of this job.")
    name: str | None = Field(None, description="Only tasks that are a step of exactly this name.")
    attempt: int | None = Field(None, ge=1, le=2**31 - 1, description="Only tasks of which this attempt waits.")
    requires: list[LabelFilter] | None = Field(
        None,
        max_length=64,
        description="Only tasks whose worker must have this label, as KEY=VALUE; repeated: all of them.",
    )

    @model_validator(mode="after")
    def _no_two_values(self) -> Self:
        check_pairs("requires", self.requires)
        return self


class WorkerVerdict(Model):
    """What one worker says to a waiting task: `fits`, or why not."""

    worker_id: Id = Field(description="The worker's id.")
    name: str = Field(description="The worker's name.")
    fits: bool = Field(description="Whether the task could run there now.")
    refusal: str | None = Field(description="In words: what the task needs and the worker lacks.")


class WorkerGroup(Model):
    """Workers that are not listed one by one, because they all say the same."""

    count: int = Field(description="How many there are.")
    refusal: str | None = Field(description="What keeps the task from them, in words; null for those that fit.")


class Explanation(Model):
    """Why a task waits, or where it is."""

    task_id: Id = Field(description="The task's id.")
    job_id: Id = Field(description="The job that it is a task of.")
    status: TaskStatus = Field(description="How far the task is.")
    position: int | None = Field(description="1 is next; null when it does not wait for a worker.")
    summary: str = Field(description="The answer in one sentence.")
    workers: list[WorkerVerdict] = Field(
        description="What each worker has to say, while the task waits for one: at most 100, those that fit first."
    )
    others: list[WorkerGroup] = Field(
        default_factory=list, description="The workers that are not listed: the offline ones, and those beyond 100."
    )
