"""Jobs over REST: submitting them, and what can be read of them, their tasks and executions."""

from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.model import Model, Name, Timestamp
from schemas.rest.lists import PageQuery
from schemas.specs import EnvName, EnvValue, InlineCommand, Labels, Priority
from schemas.states import ExecutionStatus, JobStatus, Reason, TaskStatus


class JobCreate(InlineCommand):
    """Either `pipeline_id` (with `params` and `env`) or the fields of one step inline (`command`, …)."""

    pipeline_id: str | None = None
    params: dict[EnvName, EnvValue] = Field(
        default_factory=dict, max_length=500, description="Reach every step's environment as HODEI_PARAM_<NAME>."
    )
    name: Name | None = None
    priority: Priority = "normal"
    run_at: Timestamp | None = Field(None, description="Not before this moment.")
    concurrency_key: str | None = Field(None, max_length=200, description="Not yet supported.")
    labels: Labels = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        self.exactly_one_of("pipeline_id", "command")
        if self.pipeline_id is None and self.params:
            raise ValueError("params belong to a job of a pipeline; give a single command its env")
        return self


class Execution(Model):
    """One attempt of a task on a worker, as the orchestrator knows it."""

    id: str
    attempt: int
    worker_id: str | None
    status: ExecutionStatus
    reason: Reason | None
    detail: str | None
    exit_code: int | None
    started_at: Timestamp | None
    finished_at: Timestamp | None


class Task(Model):
    id: str
    name: str
    status: TaskStatus
    reason: Reason | None
    attempt: int
    depends_on: list[str]
    exit_code: int | None
    queued_at: Timestamp | None
    started_at: Timestamp | None
    finished_at: Timestamp | None
    executions: list[Execution]


class Job(Model):
    id: str
    name: str
    status: JobStatus
    reason: Reason | None
    pipeline_id: str | None
    pipeline_version: int | None
    priority: Priority
    params: dict[str, str]
    labels: dict[str, str]
    run_at: Timestamp | None
    rerun_of: str | None
    schedule_id: str | None
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None


class JobDetail(Job):
    tasks: list[Task]


class JobState(Model):
    id: str
    status: JobStatus


class JobQuery(PageQuery):
    status: JobStatus | None = None
    pipeline_id: str | None = None
    name: str | None = None
    priority: Priority | None = None
    rerun_of: str | None = None
    schedule_id: str | None = None


class WaitQuery(Model):
    wait: float = Field(0, ge=0, le=60, description="Answer when the job is over, or after so many seconds.")


class RerunRequest(Model):
    from_: Literal["start", "failed"] = Field("start", alias="from", description="failed keeps what succeeded.")


class TimelineEvent(Model):
    """One entry of a job's timeline; `id` resumes a stream after it (Last-Event-ID)."""

    id: str
    type: str = Field(examples=["tasks.queued"])
    time: Timestamp
    data: dict[str, object]


class JobLogLine(Model):
    timestamp: Timestamp
    task: str
    attempt: int
    execution_id: str
    stream: Literal["stdout", "stderr", "system"]
    message: str


class JobLogs(Model):
    job_id: str
    logs: list[JobLogLine]
    truncated: bool
