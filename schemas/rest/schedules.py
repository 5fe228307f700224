"""Schedules, the queue and explanations over REST, as the scheduler shows them."""

from typing import Self

from pydantic import ConfigDict, Field, model_validator

from schemas.model import Id, Model, Name, OrDefault, Timestamp
from schemas.params import Parameters, Scalar
from schemas.rest.lists import LabelQuery, PageQuery, check_pairs
from schemas.specs import Command, InlineCommand, LabelFilter, Labels, Priority, Resources
from schemas.states import ScheduleStatus, TaskStatus


class ScheduleCreate(InlineCommand):
    """Run `job_id` again, a `pipeline_id`, or an inline `command`: at `run_at`, or on `cron`; neither means now."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"command": "echo good morning", "run_at": "2030-01-01T06:00:00Z"}]}
    )

    job_id: str | None = Field(None, description="An earlier job, to run again.")
    pipeline_id: str | None = Field(None, description="A pipeline to run.")
    run_at: Timestamp | None = Field(None, description="When the schedule fires; by default now.")
    cron: str | None = Field(None, max_length=200, description="Not yet supported.")
    timezone: str | None = Field(None, max_length=100, description="For cron. Not yet supported.")
    name: Name | None = Field(None, description="The name of the schedule, and of the job that it creates.")
    priority: OrDefault[Priority] = Field("normal", description="The priority of the job that it creates.")
    params: OrDefault[Parameters] = Field(
        default_factory=dict, description="Parameters of the job; not together with an inline `command`."
    )
    labels: OrDefault[Labels] = Field(default_factory=dict, description="The labels of the job that it creates.")

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
    status: ScheduleStatus = Field(description="Its status.")
    name: str | None = Field(description="Its name.")
    job_id: Id | None = Field(description="The job that it repeats.")
    pipeline_id: Id | None = Field(description="The pipeline that it runs.")
    command: Command | None = Field(description="The command that it runs.")
    run_at: Timestamp | None = Field(description="The time at which it was requested to run; null for at once.")
    cron: str | None = Field(description="Not yet supported: null.")
    timezone: str | None = Field(description="Not yet supported: null.")
    next_run_at: Timestamp | None = Field(description="When it fires next.")
    last_run_at: Timestamp | None = Field(description="When it fired last.")
    last_job_id: Id | None = Field(description="The job that it created when it last fired.")
    last_error: str | None = Field(description="Why no job was created when it last fired.")
    created_at: Timestamp = Field(description="When it was accepted.")


class ScheduleQuery(PageQuery):
    status: ScheduleStatus | None = Field(None, description="Only schedules with this status.")
    name: str | None = Field(None, description="Only schedules with exactly this name.")
    job_id: str | None = Field(None, description="Only schedules that repeat this job.")
    pipeline_id: str | None = Field(None, description="Only schedules of this pipeline.")


class QueuedTask(Model):
    """A task that waits, in the order in which it would run."""

    task_id: Id = Field(description="The task's id.")
    job_id: Id = Field(description="The job to which it belongs.")
    name: str = Field(description="The step's name.")
    matrix: dict[str, Scalar] | None = Field(None, description="The values of the step's matrix for this task.")
    index: int | None = Field(None, description="The task's place in the step's matrix, from 0.")
    position: int = Field(description="Its position among the tasks that match the filters; 1 is the next one.")
    priority: Priority = Field(description="The job's priority.")
    attempt: int = Field(description="The number of the attempt that waits, from 1.")
    requires: dict[str, str] = Field(description="The labels that its worker must have.")
    resources: Resources | None = Field(description="The resources that it needs.")
    labels: dict[str, str] = Field(default_factory=dict, description="The labels of its step.")
    queued_at: Timestamp = Field(description="When it became ready to run.")
    run_at: Timestamp | None = Field(description="It does not start before this time.")


class QueueQuery(LabelQuery):
    priority: Priority | None = Field(None, description="Only tasks with this priority.")
    job_id: str | None = Field(None, description="Only tasks of this job.")
    name: str | None = Field(None, description="Only tasks of steps with exactly this name.")
    attempt: int | None = Field(
        None, ge=1, le=2**31 - 1, description="Only tasks whose waiting attempt has this number."
    )
    requires: list[LabelFilter] | None = Field(
        None,
        max_length=64,
        description="Only tasks that require this label, as KEY=VALUE. May be repeated; tasks must require all.",
    )

    @model_validator(mode="after")
    def _no_two_values_required(self) -> Self:
        check_pairs("requires", self.requires)
        return self


class WorkerVerdict(Model):
    """Whether one worker can take a waiting task, and if not, why."""

    worker_id: Id = Field(description="The worker's id.")
    name: str = Field(description="The worker's name.")
    fits: bool = Field(description="Whether the task could run there now.")
    refusal: str | None = Field(description="Why the task cannot run there, in words; null if it can.")


class WorkerGroup(Model):
    """Workers that are not listed one by one, with the `refusal` that they share."""

    count: int = Field(description="How many workers are in this group.")
    refusal: str | None = Field(description="Why the task cannot run on them, in words; null if it can.")


class Explanation(Model):
    """Why a task waits, where it runs, or how it ended."""

    task_id: Id = Field(description="The task's id.")
    job_id: Id = Field(description="The job to which it belongs.")
    status: TaskStatus = Field(description="The task's status.")
    position: int | None = Field(
        description="Its position in the queue, from 1; null if it does not wait for a worker."
    )
    summary: str = Field(description="The explanation in one sentence.")
    workers: list[WorkerVerdict] = Field(
        description="Whether each worker can take the task, while it waits: at most 100 workers, those that can first."
    )
    others: list[WorkerGroup] = Field(
        default_factory=list,
        description="The workers that `workers` does not list, in groups: offline ones, and those beyond 100.",
    )
