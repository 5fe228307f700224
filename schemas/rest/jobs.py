"""Jobs over REST: submissions, and the representations of jobs, their tasks and executions."""

from typing import Annotated, Final, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from schemas.access import Actor
from schemas.concurrency import ConcurrencySpec, KeyTemplate
from schemas.model import Id, Model, Name, OrDefault, Timestamp
from schemas.params import GivenInputs, Parameters, ParamSpec, Scalar
from schemas.rest.concurrency import KeyWait
from schemas.rest.executions import LogLineView
from schemas.rest.logs import LogsShown
from schemas.rest.pipelines import PipelineCreate
from schemas.specs import (
    Command,
    InlineCommand,
    Labels,
    Priority,
    Resources,
    RetrySpec,
    StepType,
    When,
)
from schemas.states import ExecutionStatus, JobStatus, Reason, TaskStatus
from schemas.steps import Approval, Decision, Message

StepName = Annotated[str, StringConstraints(min_length=1, max_length=100)]
FROM_START: Final = "start"
FROM_FAILED: Final = "failed"
"""The words that a rerun takes in place of a step's name."""


class JobCreate(InlineCommand):
    """Either `pipeline_id` or `pipeline`, with `params` and `env`, or the fields of one step inline (`command`, …)."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "greeting", "command": "echo hello", "labels": {"team": "web"}}]}
    )

    pipeline_id: str | None = Field(None, description="The pipeline to run; not together with `pipeline` or `command`.")
    pipeline: PipelineCreate | None = Field(None, description="A pipeline to run without storing it.")
    params: OrDefault[Parameters] = Field(
        default_factory=dict,
        description="Parameters of a job of a pipeline; every step's environment has them as HODEI_PARAM_<NAME>.",
    )
    name: Name | None = Field(
        None, description="The job's name; by default the pipeline's name, or the beginning of the command."
    )
    priority: OrDefault[Priority] = Field("normal", description="Waiting tasks of a higher priority are placed first.")
    run_at: Timestamp | None = Field(None, description="Do not start it before this time.")
    concurrency_key: KeyTemplate | None = Field(
        None,
        description="Jobs with the same key limit each other. It may have expressions over parameters, such as "
        "`deploy-${{ params.env }}`. By default, that of the pipeline.",
    )
    concurrency: ConcurrencySpec | None = Field(
        None, description="How many jobs with this key run at once; by default as the pipeline says, or one."
    )
    labels: OrDefault[Labels] = Field(default_factory=dict, description="Labels of your choice, for finding the job.")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        self.exactly_one_of("pipeline_id", "pipeline", "command")
        if self.command is not None and self.params:
            raise ValueError("params belong to a job of a pipeline; give a single command its env")
        if self.command is not None and self.concurrency is not None and self.concurrency_key is None:
            raise ValueError("concurrency needs a concurrency_key, which says what jobs it is about")
        return self


class Execution(Model):
    """One attempt of a task on a worker, as the orchestrator knows it."""

    id: Id = Field(description="The execution's id.")
    attempt: int = Field(description="Which attempt of the task this is, counted from 1.")
    worker_id: Id | None = Field(description="The worker on which it was placed.")
    worker_name: str | None = Field(None, description="The name of that worker at the time, if it is known.")
    status: ExecutionStatus = Field(description="Its status.")
    reason: Reason | None = Field(description="Why it did not succeed.")
    detail: str | None = Field(description="The reason in words, if there is more to it than `reason`.")
    exit_code: int | None = Field(description="The process's exit code; 128 + N when signal N ended it.")
    started_at: Timestamp | None = Field(description="When its process started.")
    finished_at: Timestamp | None = Field(description="When its process ended.")


class Task(Model):
    """One step of one job."""

    id: Id = Field(description="The task's id.")
    name: str = Field(description="The step's name.")
    status: TaskStatus = Field(description="The task's status.")
    reason: Reason | None = Field(description="Why it did not succeed.")
    detail: str | None = Field(
        description="The reason in words, if there is more to it: what it waited for, or why it did not start."
    )
    attempt: int = Field(description="The current attempt, counted from 1.")
    depends_on: list[str] = Field(description="The steps that must end before this one starts.")
    when: When = Field(description="After which outcomes of the steps that it depends on it runs.")
    condition: str | None = Field(alias="if", description="A CEL expression; the step is skipped if it is false.")
    matrix: dict[str, Scalar] | None = Field(
        description="The values of the step's matrix for this task; null without a matrix."
    )
    index: int | None = Field(description="The task's place in the step's matrix, from 0.")
    max_parallel: int | None = Field(description="How many tasks of the step's matrix run at the same time.")
    fail_fast: bool = Field(description="Whether the first failed task of the step's matrix cancels its other tasks.")
    expressions: bool = Field(
        description="Whether its `command`, `env` or `working_dir` has expressions, which get values when it is queued."
    )
    allow_failure: bool = Field(
        description="Whether the job and the steps that depend on this one go on when it fails."
    )
    command: Command | None = Field(description="The command, as submitted; null for an approval.")
    type: StepType | Literal["approval"] = Field(
        description="How the command is started: `shell`, `bash`, `python` or `exec`; or `approval`."
    )
    approval: Approval | None = Field(description="What an approval asks; null for other steps.")
    decision: Decision | None = Field(description="What was decided about an approval, if that has happened.")
    env: dict[str, str] = Field(
        description="The step's own variables, besides the job's `env`. Values that look like secrets are `***`."
    )
    working_dir: str | None = Field(description="The working directory on the worker; null for a new, empty one.")
    timeout: float | None = Field(description="Time limit of one execution, in seconds.")
    queue_timeout: float | None = Field(description="How long the task may wait for a worker, in seconds.")
    retry: RetrySpec | None = Field(description="Whether and when a failed attempt is retried.")
    retry_on_lost: bool = Field(
        description="Whether the task is retried when its worker is lost. `false`: it runs at most once."
    )
    max_crashes: int = Field(description="How often the task is retried because its worker was lost.")
    requires: dict[str, str] = Field(description="Labels that the worker must have.")
    resources: Resources | None = Field(description="The resources that one execution needs.")
    labels: dict[str, str] = Field(description="The step's labels, as submitted.")
    exit_code: int | None = Field(description="The last attempt's exit code.")
    outputs: dict[str, str] = Field(
        description="What the last attempt wrote to $HODEI_OUTPUT, by name; empty until it has ended. Values that look "
        "like secrets are shown as `***`."
    )
    queued_at: Timestamp | None = Field(description="When the current attempt became ready to run.")
    started_at: Timestamp | None = Field(description="When the current attempt's process started.")
    finished_at: Timestamp | None = Field(description="When the task ended.")
    executions: list[Execution] = Field(description="Its executions, the oldest first.")


class Job(Model):
    """One run, of a pipeline or of a single command."""

    id: Id = Field(description="The job's id.")
    name: str = Field(description="The job's name.")
    status: JobStatus = Field(description="The job's status.")
    reason: Reason | None = Field(description="Why it did not succeed.")
    detail: str | None = Field(
        description="The reason in words, if there is more to it: what it was waiting for at its time limit."
    )
    pipeline_id: Id | None = Field(description="The pipeline that it runs, if that is stored.")
    pipeline_version: int | None = Field(description="The pipeline's version that it runs.")
    priority: Priority = Field(description="Waiting tasks of a higher priority are placed first.")
    params: dict[str, Scalar] = Field(
        description="Its parameters, each in the type that its pipeline declares. Values that look like secrets are "
        "shown as `***`."
    )
    labels: dict[str, str] = Field(description="Its labels, as submitted.")
    run_at: Timestamp | None = Field(description="It does not start before this time.")
    rerun_of: Id | None = Field(description="The job that this one repeats.")
    schedule_id: Id | None = Field(description="The schedule that created it.")
    concurrency_key: str | None = Field(None, description="Its concurrency key, with the values of its expressions.")
    concurrency: ConcurrencySpec | None = Field(
        None,
        description="How many jobs with this key run at once, as far as this job is concerned; null without a key.",
    )
    waiting_for: str | None = Field(
        None, description="What it waits for before its first steps are queued, in words; null if it does not wait."
    )
    created_by: Actor | None = Field(
        None,
        description="Who submitted it; for a job of a schedule, who created the schedule. Null with access off.",
    )
    cancelled_by: Actor | None = Field(
        None,
        description=(
            "Who requested its cancellation, or submitted the job that took its place; null if neither, and with "
            "access off."
        ),
    )
    created_at: Timestamp = Field(description="When it was accepted.")
    started_at: Timestamp | None = Field(description="When its first process started.")
    finished_at: Timestamp | None = Field(description="When it ended.")


class JobDetail(Job):
    """One job with what it runs: its tasks, and what they have in common."""

    env: dict[str, str] = Field(
        description="The environment of all steps: the pipeline's, overridden by the job's own, without `params`. "
        "Values that look like secrets are shown as `***`."
    )
    timeout: float | None = Field(description="Time limit of the whole job, in seconds.")
    cleanup_timeout: float = Field(
        description="Time limit of `always` steps after a cancel or the timeout, in seconds."
    )
    key_wait: KeyWait | None = Field(
        None,
        description="What it waits for before its first steps are queued; null if it does not wait, and in the "
        "response that creates it.",
    )
    stopping: Reason | None = Field(
        None,
        description="Why it is being stopped, while it has not ended: its `always` steps may still clean up, and "
        "another cancel ends that. Null if it is not being stopped.",
    )
    tasks: list[Task] = Field(description="Its tasks, in the order of the pipeline's steps.")


class JobChange(Model):
    """What of a job can be changed after its submission."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"priority": "high"}]})

    priority: Priority = Field(
        description="The new priority of the job, of its tasks that wait, and of its later ones."
    )


class JobState(Model):
    """A job's status."""

    id: Id = Field(description="The job's id.")
    status: JobStatus = Field(description="The job's status.")


class WaitQuery(Model):
    wait: float = Field(0, ge=0, le=60, description="Wait for up to this many seconds until the job ends, then answer.")


class RerunRequest(Model):
    """Which part of an earlier job to run again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"from": "failed"}]})

    from_: OrDefault[StepName] = Field(
        FROM_START,
        alias="from",
        description="`start`: all steps run again. `failed`: what did not succeed runs again, and what depends on it; "
        "a job of which nothing failed is refused. A step's name: this step runs again as well. The other tasks are "
        "kept as they are: those that succeeded or were skipped by their `if`.",
    )


class DecisionRequest(Model):
    """A decision about an approval."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"by": "ana", "comment": "tested on staging"}]})

    by: Name | None = Field(None, description="Who decides.")
    comment: Message | None = Field(None, description="Why.")
    inputs: OrDefault[GivenInputs] = Field(
        default_factory=dict,
        description="The values of the inputs that the approval declares; only to approve. A text that spells a value "
        "exactly is taken for it.",
    )


class WaitingApproval(Model):
    """An approval that waits for a decision."""

    id: Id = Field(description="The task's id.")
    job_id: Id = Field(description="The id of its job.")
    job_name: str = Field(description="The name of its job.")
    name: str = Field(description="The step's name.")
    message: str = Field(description="What is to be decided.")
    started_at: Timestamp = Field(description="Since when it waits.")
    decide_by: Timestamp | None = Field(description="When it fails if it was not decided before.")
    inputs: dict[str, ParamSpec] = Field(description="The values that an approval may give, by name.")


class DecidedTask(Model):
    """An approval that was decided."""

    id: Id = Field(description="The task's id.")
    job_id: Id = Field(description="The id of its job.")
    name: str = Field(description="The step's name.")
    status: TaskStatus = Field(description="The task's status after the decision.")
    decision: Decision = Field(description="The decision.")


class TimelineEvent(Model):
    """One entry of a job's timeline; `id` resumes a stream after it (Last-Event-ID)."""

    id: str = Field(description="Its position in the timeline; opaque.")
    type: str = Field(
        examples=["tasks.queued"],
        description="The event's type, such as `executions.finished`; `timeline.expired` where it is no longer kept.",
    )
    time: Timestamp = Field(description="When the event happened.")
    data: dict[str, object] = Field(description="The fields of the event; docs/events.md lists them.")


class JobLogLine(LogLineView):
    """A line of output with the step, the attempt and the execution that wrote it."""

    task: str = Field(description="The step that wrote it.")
    matrix: dict[str, Scalar] | None = Field(None, description="The values of the step's matrix, for a step with one.")
    index: int | None = Field(None, description="The task's place in the step's matrix, from 0.")
    attempt: int = Field(description="The attempt that wrote it.")
    execution_id: Id = Field(description="The execution that wrote it.")


class JobLogs(LogsShown):
    """The output of all of a job's tasks."""

    job_id: Id = Field(description="The job's id.")
    logs: list[JobLogLine] = Field(description="The lines, in order.")
