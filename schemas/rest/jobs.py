"""Jobs over REST: submitting them, and what can be read of them, their tasks and executions."""

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from schemas import words
from schemas.model import Id, Model, Name, OrDefault, Timestamp
from schemas.rest.executions import LogLineView
from schemas.rest.lists import LabelQuery
from schemas.specs import (
    Command,
    InlineCommand,
    Labels,
    Parameters,
    Priority,
    Resources,
    RetrySpec,
    StepType,
)
from schemas.states import JOB, ExecutionStatus, JobStatus, Reason, TaskStatus


class JobCreate(InlineCommand):
    """Either `pipeline_id` (with `params` and `env`) or the fields of one step inline (`command`, …)."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "greeting", "command": "echo hello", "labels": {"team": "web"}}]}
    )

    pipeline_id: str | None = Field(None, description="The pipeline to run; not together with `command`.")
    params: OrDefault[Parameters] = Field(
        default_factory=dict,
        description="For a job of a pipeline; they reach every step's environment as HODEI_PARAM_<NAME>.",
    )
    name: Name | None = Field(
        None, description="What people call the job; by default the pipeline's name, or the command's beginning."
    )
    priority: OrDefault[Priority] = Field("normal", description="Of the jobs that wait, a higher one starts first.")
    run_at: Timestamp | None = Field(None, description="Not before this moment.")
    concurrency_key: str | None = Field(None, max_length=200, description="Not yet supported.")
    labels: OrDefault[Labels] = Field(
        default_factory=dict, description="Any words of your own, for finding the job again."
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        self.exactly_one_of("pipeline_id", "command")
        if self.pipeline_id is None and self.params:
            raise ValueError("params belong to a job of a pipeline; give a single command its env")
        return self


class Execution(Model):
    """One attempt of a task on a worker, as the orchestrator knows it."""

    id: Id = Field(description="The execution's id.")
    attempt: int = Field(description="Which attempt of the task this is, counted from 1.")
    worker_id: Id | None = Field(description="The worker that it was placed on.")
    worker_name: str | None = Field(None, description="What that worker was called then, where that is known.")
    status: ExecutionStatus = Field(description="How far it is, or how it ended.")
    reason: Reason | None = Field(description="Why it did not succeed.")
    detail: str | None = Field(description="The reason in words, where there is more to tell.")
    exit_code: int | None = Field(description="The process's exit code; 128 + N when signal N ended it.")
    started_at: Timestamp | None = Field(description="When its process started.")
    finished_at: Timestamp | None = Field(description="When its process ended.")


class Task(Model):
    """One step of one job."""

    id: Id = Field(description="The task's id.")
    name: str = Field(description="The step's name.")
    status: TaskStatus = Field(description="How far the task is, or how it ended.")
    reason: Reason | None = Field(description="Why it did not succeed.")
    detail: str | None = Field(
        description="In words, where the reason alone does not say it: what it waited for, or why it did not start."
    )
    attempt: int = Field(description="The current attempt, counted from 1.")
    depends_on: list[str] = Field(description="The steps that must be over before this one starts.")
    allow_failure: bool = Field(description="A failure of this step fails neither the job nor what depends on it.")
    command: Command = Field(description="What it runs, as it was given.")
    type: StepType = Field(description="How the command is run.")
    env: dict[str, str] = Field(
        description="What this step adds to the job's `env`. Values that look like secrets are shown as `***`."
    )
    working_dir: str | None = Field(description="The folder on the worker; null for a new, empty one.")
    timeout: float | None = Field(description="Seconds that one execution may run.")
    queue_timeout: float | None = Field(description="Seconds that the task may wait for a worker.")
    retry: RetrySpec | None = Field(description="Whether and when a failure is tried again.")
    retry_on_lost: bool = Field(description="false: at most once; a lost worker fails the task.")
    max_crashes: int = Field(description="How many lost workers the task survives.")
    requires: dict[str, str] = Field(description="Labels that the worker must have.")
    resources: Resources | None = Field(description="What one execution claims of its worker.")
    labels: dict[str, str] = Field(description="The step's labels, as they were given.")
    exit_code: int | None = Field(description="The last attempt's exit code.")
    queued_at: Timestamp | None = Field(description="When the current attempt became ready to run.")
    started_at: Timestamp | None = Field(description="When the current attempt's process started.")
    finished_at: Timestamp | None = Field(description="When the task was over.")
    executions: list[Execution] = Field(description="Its attempts on workers, the oldest first.")


class Job(Model):
    """One run, of a pipeline or of a single command."""

    id: Id = Field(description="The job's id.")
    name: str = Field(description="What people call the job.")
    status: JobStatus = Field(description="How far the job is, or how it ended.")
    reason: Reason | None = Field(description="Why it did not succeed.")
    detail: str | None = Field(
        description="In words, where the reason alone does not say it: what it was waiting for at its time limit."
    )
    pipeline_id: Id | None = Field(description="The pipeline that it is a run of.")
    pipeline_version: int | None = Field(description="The version of the pipeline that it runs.")
    priority: Priority = Field(description="Of the jobs that wait, a higher one starts first.")
    params: dict[str, str] = Field(description="Its parameters. Values that look like secrets are shown as `***`.")
    labels: dict[str, str] = Field(description="Its labels, as they were given.")
    run_at: Timestamp | None = Field(description="It does not start before this moment.")
    rerun_of: Id | None = Field(description="The job that this one runs again.")
    schedule_id: Id | None = Field(description="The schedule that made it.")
    created_at: Timestamp = Field(description="When it was accepted.")
    started_at: Timestamp | None = Field(description="When its first process started.")
    finished_at: Timestamp | None = Field(description="When it was over.")


class JobDetail(Job):
    """One job with what it runs: its tasks, and what they have in common."""

    env: dict[str, str] = Field(
        description="The environment of all steps: the pipeline's, and over it the job's own, without `params`. "
        "Values that look like secrets are shown as `***`."
    )
    timeout: float | None = Field(description="Seconds that the whole job may take.")
    tasks: list[Task] = Field(description="Its tasks, in the order of the pipeline's steps.")


class JobState(Model):
    """How far a job is."""

    id: Id = Field(description="The job's id.")
    status: JobStatus = Field(description="How far the job is, or how it ended.")


class JobQuery(LabelQuery):
    status: JobStatus | None = Field(None, description="Only jobs of this status.")
    pipeline_id: str | None = Field(None, description="Only jobs of this pipeline.")
    name: str | None = Field(None, description="Only jobs of exactly this name.")
    priority: Priority | None = Field(None, description="Only jobs of this priority.")
    rerun_of: str | None = Field(None, description="Only jobs that run this job again.")
    schedule_id: str | None = Field(None, description="Only jobs that this schedule made.")
    reason: Reason | None = Field(None, description="Only jobs that did not succeed for this reason.")
    pipeline_version: int | None = Field(None, ge=1, le=2**31 - 1, description="Only jobs of this version.")
    short_id: str | None = Field(
        None, pattern=words.ID_TAIL, description="Only jobs whose id ends with these 8 characters: mostly one."
    )
    created_after: Timestamp | None = Field(None, description="Only jobs accepted at this moment or later.")
    created_before: Timestamp | None = Field(None, description="Only jobs accepted before this moment.")


class JobDeletion(Model):
    """Which jobs that are over are deleted."""

    finished_before: Timestamp = Field(description="Only jobs that were over before this moment.")
    status: JobStatus | None = Field(None, description="Only those that succeeded, failed or were cancelled.")
    limit: int = Field(1000, ge=1, le=1000, description="How many at the most, the oldest first.")

    @model_validator(mode="after")
    def _over(self) -> Self:
        if self.status is not None and not JOB.is_final(self.status):
            raise ValueError(f"status: a job that is {self.status.value} is not deleted; cancel it first, or wait")
        return self


class JobsDeleted(Model):
    """What a deletion came to."""

    deleted: int = Field(description="How many jobs were deleted, with their logs.")
    more: bool = Field(description="Whether there may be more: the same request deletes the next ones.")


class WaitQuery(Model):
    wait: float = Field(0, ge=0, le=60, description="Answer when the job is over, or after so many seconds.")


class RerunRequest(Model):
    """What of an earlier job to run again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"from": "failed"}]})

    from_: OrDefault[Literal["start", "failed"]] = Field(
        "start", alias="from", description="start runs everything, failed keeps what succeeded."
    )


class TimelineEvent(Model):
    """One entry of a job's timeline; `id` resumes a stream after it (Last-Event-ID)."""

    id: str = Field(description="Where it stands in the timeline; opaque.")
    type: str = Field(examples=["tasks.queued"], description="The event's type, as on the bus.")
    time: Timestamp = Field(description="When it happened.")
    data: dict[str, object] = Field(description="The event's own fields: docs/events.md lists them.")


class JobLogLine(LogLineView):
    """A line of output with the step, the attempt and the execution that wrote it."""

    task: str = Field(description="The step that wrote it.")
    attempt: int = Field(description="The attempt that wrote it.")
    execution_id: Id = Field(description="The execution that wrote it.")


class JobLogs(Model):
    """The output of all of a job's tasks."""

    job_id: Id = Field(description="The job's id.")
    logs: list[JobLogLine] = Field(description="The lines, in order.")
    truncated: bool = Field(description="Whether any output is missing.")
    expired: bool = Field(False, description="Whether some of it is missing because it is no longer kept.")
