"""Every event of the platform: what is said on the bus, one class per type.

An event states a fact about one entity; `entity_id()` is that entity (the CloudEvents `subject`), and `job_id`,
where there is one, is the job it belongs to. Classes here only ever gain optional fields; anything else is a
new version of the type. How events are wrapped and batched: `schemas.cloudevents`; where they go:
`schemas.subjects`.
"""

from collections.abc import Iterator
from typing import ClassVar, Final, Literal

from pydantic import Field, model_validator

from schemas.model import EventModel, Instant
from schemas.refusals import VerdictReason, reason_of_status
from schemas.specs import CommandSpec, Priority, Resources, RunSpec
from schemas.states import ExecutionStatus, Reason, WorkerProcessStatus


class EventData(EventModel):
    """The `data` of one event. `event_type` is `<plural>.<verb>`, the subject on the bus without the namespace."""

    event_type: ClassVar[str]
    version: ClassVar[int] = 1

    def entity_id(self) -> str:
        """The id of the entity that the event speaks of."""
        raise NotImplementedError  # each class below names its own


# ------------------------------------------------------------------ pipelines (orchestrator)


class _PipelineEvent(EventData):
    pipeline_id: str
    name: str
    pipeline_version: int

    def entity_id(self) -> str:
        return self.pipeline_id


class PipelineCreated(_PipelineEvent):
    event_type = "pipelines.created"


class PipelineUpdated(_PipelineEvent):
    event_type = "pipelines.updated"


class PipelineArchived(_PipelineEvent):
    event_type = "pipelines.archived"


# ------------------------------------------------------------------ jobs (orchestrator)


class _JobEvent(EventData):
    job_id: str

    def entity_id(self) -> str:
        return self.job_id


class JobCreated(_JobEvent):
    event_type = "jobs.created"
    name: str
    pipeline_id: str | None = None
    pipeline_version: int | None = None
    priority: Priority = "normal"
    labels: dict[str, str] = Field(default_factory=dict)
    rerun_of: str | None = None
    schedule_id: str | None = None


class JobStarted(_JobEvent):
    event_type = "jobs.started"


class JobCancelRequested(_JobEvent):
    event_type = "jobs.cancel_requested"


class _JobOver(_JobEvent):
    name: str
    pipeline_id: str | None = None
    reason: Reason | None = None
    detail: str | None = Field(None, description="In words, where the reason alone does not say it.")
    created_at: Instant
    started_at: Instant | None = None
    finished_at: Instant


class JobSucceeded(_JobOver):
    event_type = "jobs.succeeded"


class JobFailed(_JobOver):
    event_type = "jobs.failed"


class JobCancelled(_JobOver):
    event_type = "jobs.cancelled"


# ------------------------------------------------------------------ tasks (orchestrator, unless said otherwise)


class _TaskEvent(EventData):
    task_id: str
    job_id: str
    attempt: int

    def entity_id(self) -> str:
        return self.task_id


class TaskQueued(_TaskEvent):
    """The task may run: everything that the scheduler and the worker need to know of it."""

    event_type = "tasks.queued"
    name: str
    priority: Priority = "normal"
    requires: dict[str, str] = Field(default_factory=dict)
    resources: Resources | None = None
    labels: dict[str, str] = Field(default_factory=dict, description="The step's own; the job's are in jobs.created.")
    run: RunSpec
    run_at: Instant | None = Field(None, description="Not before this moment.")
    queued_at: Instant
    queue_deadline: Instant | None = Field(None, description="Give up waiting for a worker at this moment.")
    execution_id: str | None = Field(None, description="The id that this attempt's execution must get, if any.")
    avoid_worker_id: str | None = Field(None, description="No longer sent: see avoid_worker_ids.")
    avoid_worker_ids: list[str] = Field(
        default_factory=list,
        max_length=10,
        description="The workers on which earlier attempts failed or were lost, the last one first: others are better.",
    )


class TaskScheduled(_TaskEvent):
    """The scheduler chose a worker: the order to run."""

    event_type = "tasks.scheduled"
    name: str = ""
    execution_id: str
    worker_id: str
    worker_name: str | None = Field(None, description="What the worker is called, where that is known.")
    incarnation: str
    run: RunSpec
    scheduled_at: Instant


class TaskExpired(_TaskEvent):
    """By the scheduler: the task waited longer than its queue_timeout and is no longer in the queue."""

    event_type = "tasks.expired"


class TaskCancelRequested(_TaskEvent):
    event_type = "tasks.cancel_requested"
    reason: Reason = Reason.CANCELLED


class TaskWithdrawn(_TaskEvent):
    """By the scheduler: a cancelled task had not been placed and is no longer in the queue."""

    event_type = "tasks.withdrawn"
    reason: Reason = Reason.CANCELLED


class TaskSucceeded(_TaskEvent):
    event_type = "tasks.succeeded"
    name: str


class TaskFailed(_TaskEvent):
    event_type = "tasks.failed"
    name: str
    reason: Reason
    detail: str | None = Field(None, description="In words, where the reason alone does not say it.")
    exit_code: int | None = None


class TaskCancelled(_TaskEvent):
    event_type = "tasks.cancelled"
    name: str
    reason: Reason = Reason.CANCELLED
    detail: str | None = Field(None, description="What it was doing or waiting for, if its time was over.")


class TaskSkipped(_TaskEvent):
    event_type = "tasks.skipped"
    name: str
    reason: Reason = Reason.DEPENDENCY_FAILED


class TaskRetrying(_TaskEvent):
    """An attempt failed or was lost; `attempt` is the one that comes next, due at `run_at`."""

    event_type = "tasks.retrying"
    name: str
    reason: Reason
    run_at: Instant | None = None


# ------------------------------------------------------------------ executions (the agent, unless said otherwise)


class _ExecutionEvent(EventData):
    execution_id: str
    task_id: str
    job_id: str
    attempt: int

    def entity_id(self) -> str:
        return self.execution_id


class ExecutionStarted(_ExecutionEvent):
    event_type = "executions.started"
    worker_id: str
    worker_name: str | None = Field(None, description="What the worker is called, where that is known.")
    incarnation: str
    started_at: Instant


class LogSummary(EventModel):
    """What was written to `logs.<execution_id>`: a reader that saw `chunks` chunks saw everything. `bytes` are
    those of the lines as UTF-8, without their ends."""

    chunks: int = 0
    lines: int = 0
    bytes: int = 0
    truncated: bool = False


class ExecutionFinished(_ExecutionEvent):
    event_type = "executions.finished"
    worker_id: str
    worker_name: str | None = Field(None, description="What the worker is called, where that is known.")
    incarnation: str
    status: Literal[
        ExecutionStatus.SUCCEEDED,
        ExecutionStatus.FAILED,
        ExecutionStatus.CANCELLED,
        ExecutionStatus.TIMED_OUT,
    ]
    reason: Reason | None = None
    detail: str | None = Field(None, description="In words, where the reason alone does not say it.")
    exit_code: int | None = Field(None, description="128 + N when signal N ended the process; null if none started.")
    started_at: Instant | None = None
    finished_at: Instant
    log: LogSummary = LogSummary()


class ExecutionLost(_ExecutionEvent):
    """By the scheduler: the worker's lease ran out, or its process ended, with the execution on it."""

    event_type = "executions.lost"
    worker_id: str
    worker_name: str | None = Field(None, description="What the worker is called, where that is known.")
    incarnation: str
    reason: Literal[Reason.LOST, Reason.WORKER_STOPPED] = Field(
        Reason.LOST, description="worker_stopped: the worker was stopped on order; that uses up no crashes."
    )
    detail: str
    lost_at: Instant


class ExecutionReturned(_ExecutionEvent):
    """The agent gave it back before it began; the scheduler places the same attempt again."""

    event_type = "executions.returned"
    worker_id: str
    worker_name: str | None = Field(None, description="What the worker is called, where that is known.")
    incarnation: str
    detail: str


class ExecutionCancelRequested(_ExecutionEvent):
    """By the scheduler: the execution is placed; its worker must stop it."""

    event_type = "executions.cancel_requested"
    worker_id: str
    reason: Reason = Reason.CANCELLED


class JobTarget(EventModel):
    """What a schedule or a direct execution runs: an earlier job again, a pipeline, or one command."""

    job_id: str | None = None
    pipeline_id: str | None = None
    command: CommandSpec | None = None
    name: str | None = None
    priority: Priority = "normal"
    params: dict[str, str] = Field(default_factory=dict)
    env: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)


class ExecutionRequested(_ExecutionEvent):
    """By the worker manager: somebody asked for this execution directly; the ids are the ones to use."""

    event_type = "executions.requested"
    target: JobTarget


class ExecutionRefused(_ExecutionEvent):
    """By the orchestrator: the requested execution names something that does not exist or cannot run. Version 1
    has an HTTP `status` (404, 409 or 422) in place of `reason`, and is still read."""

    event_type = "executions.refused"
    version = 2
    reason: VerdictReason = Field(description="Why it cannot run.")
    detail: str

    _version_1 = model_validator(mode="before")(reason_of_status)


class ExecutionCompleted(_ExecutionEvent):
    """By the orchestrator: the requested execution ended well without a process. Its job has no steps: there was
    nothing to run."""

    event_type = "executions.completed"
    finished_at: Instant


# ------------------------------------------------------------------ workers


class _WorkerEvent(EventData):
    worker_id: str

    def entity_id(self) -> str:
        return self.worker_id


class WorkerStarted(_WorkerEvent):
    """By the worker manager: a worker process was started."""

    event_type = "workers.started"
    type: str
    name: str
    provider: str
    labels: dict[str, str] = Field(default_factory=dict)
    slots: int


class WorkerStopped(_WorkerEvent):
    """By the worker manager: the worker's process is gone. `clean` tells that it left nothing unfinished, `ordered`
    that it was told to end and did."""

    event_type = "workers.stopped"
    status: WorkerProcessStatus
    clean: bool
    ordered: bool = False
    exit_code: int | None = None
    detail: str


class WorkerRegistered(_WorkerEvent):
    """By the scheduler: a worker is known, by its agent's first heartbeat or over REST (then has_agent is false)."""

    event_type = "workers.registered"
    type: str
    name: str
    labels: dict[str, str] = Field(default_factory=dict)
    slots: int
    has_agent: bool
    incarnation: str | None = None
    draining: bool = Field(False, description="A drain that was ordered earlier still lasts: it takes nothing new.")


class WorkerDraining(_WorkerEvent):
    """By the scheduler: the worker takes nothing new and finishes what it has. Once for each drain, however it began:
    over REST, by the worker manager, or by a signal to the agent. An `ordered` one (over REST) lasts over restarts of
    the worker until workers.resumed; any other ends with the worker's process."""

    event_type = "workers.draining"
    incarnation: str | None = None
    ordered: bool = False


class WorkerResumed(_WorkerEvent):
    """By the scheduler: the drain that was ordered is lifted, and the worker may be given work again."""

    event_type = "workers.resumed"


class WorkerForgotten(_WorkerEvent):
    """By the scheduler, or by the worker manager for a process that it started (see `source`): the worker was offline
    for so long that it is no longer listed. Should it come back, it is registered again."""

    event_type = "workers.forgotten"
    name: str
    detail: str


class WorkerUnhealthy(_WorkerEvent):
    """By the scheduler: no command can start on the worker's machine, as its agent says; it gets none."""

    event_type = "workers.unhealthy"
    incarnation: str | None = None
    detail: str


class WorkerRecovered(_WorkerEvent):
    """By the scheduler: commands can start again on a worker that was unhealthy."""

    event_type = "workers.recovered"
    incarnation: str | None = None


class WorkerOffline(_WorkerEvent):
    event_type = "workers.offline"
    incarnation: str | None = None
    detail: str


# ------------------------------------------------------------------ schedules (scheduler, but for the verdicts)


class _ScheduleEvent(EventData):
    schedule_id: str

    def entity_id(self) -> str:
        return self.schedule_id


class ScheduleCreated(_ScheduleEvent):
    event_type = "schedules.created"
    target: JobTarget
    next_run_at: Instant | None = None


class ScheduleFired(_ScheduleEvent):
    """The schedule is due: the orchestrator makes the job `job_id` of it."""

    event_type = "schedules.fired"
    job_id: str
    target: JobTarget
    due_at: Instant


class ScheduleDeleted(_ScheduleEvent):
    event_type = "schedules.deleted"


class ScheduleConfirmed(_ScheduleEvent):
    """By the orchestrator: what the schedule names exists, or, with a `job_id`, that job was made of its firing."""

    event_type = "schedules.confirmed"
    job_id: str | None = None


class ScheduleRefused(_ScheduleEvent):
    """By the orchestrator: what the schedule names does not exist or cannot run. Version 1 has an HTTP
    `status` (404, 409 or 422) in place of `reason`, and is still read."""

    event_type = "schedules.refused"
    version = 2
    job_id: str | None = None
    reason: VerdictReason = Field(description="Why it cannot run.")
    detail: str

    _version_1 = model_validator(mode="before")(reason_of_status)


# ------------------------------------------------------------------ logs (the agent)


class LogGap(EventModel):
    """Output that a log does not hold: how many bytes, and how many ends of lines among them."""

    bytes: int = Field(description="How many bytes are missing.")
    lines: int = Field(description="How many ends of lines are among them.")


class LogLine(EventModel):
    """One line of output without its end, a piece of one, or a remark of the platform's own (`system`).

    A line that is longer than 16 KiB, that is not over after a quarter of a second, or that never ends is written as
    pieces: each has `partial`, and the stream's next entry goes on with the line. `schemas.output.written` turns an
    entry back into the bytes of the command.
    """

    timestamp: Instant
    stream: Literal["stdout", "stderr", "system"]
    message: str = Field(description="As text: U+FFFD stands for a NUL and for what is not UTF-8.")
    partial: bool | None = Field(None, description="True when no newline followed: the line is not over.")
    crlf: bool | None = Field(None, description="True when the line ended with CR LF and not with LF alone.")
    base64: str | None = Field(
        None, description="The very bytes of the message (without a line end), where they are not those of its UTF-8."
    )
    remark: str | None = Field(
        None,
        description="What a system line is about. `held_back`: the output is long, and only its end will follow. "
        "`left_out`: output over the limit is missing here. `lost`: output that could not be delivered is. "
        "`ended`: processes that kept the output open after the command's exit were ended.",
    )
    missing: LogGap | None = Field(None, description="How much output is missing where this remark stands.")


class LogChunk(EventData):
    """Lines that were written together; `seq` counts an execution's chunks from 1.

    `offset` and `first_line` say where in the output it begins: how many bytes were written before it, on both
    streams together and with those that are missing from the log, and the number of the line (from 1) that its first
    byte belongs to. Remarks have neither bytes nor lines but what they say is missing.
    """

    event_type = "logs.appended"
    execution_id: str
    seq: int
    stands_for: int = Field(
        1,
        ge=1,
        le=1_000_000,
        description="How many numbers this chunk stands for; more than 1 where some were dropped.",
    )
    lines: list[LogLine]
    offset: int | None = None
    first_line: int | None = None

    def entity_id(self) -> str:
        return self.execution_id


def _concrete(root: type[EventData]) -> Iterator[type[EventData]]:
    for child in root.__subclasses__():
        if "event_type" in child.__dict__:
            yield child
        yield from _concrete(child)


EVENT_TYPES: Final[dict[str, type[EventData]]] = {cls.event_type: cls for cls in _concrete(EventData)}
"""Every event class by its `event_type`."""
