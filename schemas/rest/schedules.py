"""Schedules, the queue and explanations over REST, as the scheduler shows them."""

from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator
from typing_extensions import TypeAliasType

from schemas.access import Actor
from schemas.concurrency import ConcurrencySpec, KeyTemplate, Overlap
from schemas.model import Id, Model, Name, OrDefault, Timestamp
from schemas.params import Parameters, Scalar
from schemas.recurrence import CronLine, Zone
from schemas.rest.lists import LabelQuery, NameFilter, PageQuery, Who, check_pairs
from schemas.specs import (
    Command,
    Env,
    Folder,
    InlineCommand,
    LabelFilter,
    Labels,
    Priority,
    Resources,
    RetrySpec,
    Seconds,
    StepType,
)
from schemas.states import FiringKind, FiringOutcome, ScheduleStatus, TaskStatus

T = TypeVar("T")


CatchUp = TypeAliasType("CatchUp", Literal["none", "last", "all"])
"""Which due times a schedule fires for that passed while no scheduler ran."""
CATCH_UP_LIMIT: Final = 100
"""How many of them at most, by default."""
MAX_CATCH_UP: Final = 1000
MAX_EVERY: Final = 366 * 24 * 3600.0
MAX_JITTER: Final = 24 * 3600.0
FIRINGS_KEPT: Final = 100
"""How many firings of a schedule its history has."""

Every = Annotated[float, Field(ge=1, le=MAX_EVERY, allow_inf_nan=False)]
Jitter = Annotated[float, Field(ge=0, le=MAX_JITTER, allow_inf_nan=False)]

_JOB_ID: Final = "An earlier job, to run again."
_PIPELINE_ID: Final = "A pipeline to run."
_RUN_AT: Final = "When the schedule fires, once; by default now. A time that has passed means now."
_CRON: Final = (
    "When the schedule fires, as in a line of a crontab: minute, hour, day of the month, month, day of the week; or "
    "`@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`."
)
_TIMEZONE: Final = "The time zone of `cron`, as `Europe/Madrid`; by default UTC."
_EVERY: Final = "The schedule fires every so many seconds, counted from `start`, or else from its creation."
_START: Final = "The schedule is not due before this time."
_END: Final = "The schedule is not due after this time."
_JITTER: Final = (
    "Each firing is delayed by up to so many seconds, so that schedules with the same due time do not fire together. "
    "The delay of a due time is always the same."
)
_NAME: Final = "The name of the schedule, and of the jobs that it creates."
_PRIORITY: Final = "The priority of the jobs that it creates."
_PARAMS: Final = "Parameters of the jobs; not together with an inline `command`."
_LABELS: Final = "The labels of the jobs that it creates."
_OVERLAP: Final = (
    "What happens when the schedule fires while its former job is not over. `allow` (the default): both run. `skip`: "
    "there is no new job. `queue`: the new job waits. `cancel_previous`: the former job is cancelled."
)
_CATCH_UP: Final = (
    "What happens to due times that passed while no scheduler ran. `none`: they are missed. `last` (the default): the "
    "schedule fires for the last of them. `all`: it fires for the last `catch_up_limit` of them."
)
_CATCH_UP_LIMIT: Final = "The most due times for which `catch_up: all` fires; by default 100."
_PAUSED: Final = "Whether the schedule is paused: then it fires on request only."
_KEY: Final = "Limits how many of its jobs run at once, together with other jobs that have the same key."
_CONCURRENCY: Final = "How many jobs with the same `concurrency_key` run at once, and what happens to one more."


class ScheduleCreate(InlineCommand):
    """Run `job_id` again, a `pipeline_id`, or an inline `command`: once at `run_at`, or again and again by `cron` or
    `every`. Without any of them it runs now."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"command": "echo good morning", "run_at": "2030-01-01T06:00:00Z"},
                {"command": "pg_dump shop", "cron": "30 2 * * *", "timezone": "Europe/Madrid", "overlap": "skip"},
            ]
        }
    )

    job_id: str | None = Field(None, description=_JOB_ID)
    pipeline_id: str | None = Field(None, description=_PIPELINE_ID)
    run_at: Timestamp | None = Field(None, description=_RUN_AT)
    cron: CronLine | None = Field(None, description=_CRON)
    every: Every | None = Field(None, description=_EVERY)
    timezone: Zone | None = Field(None, description=_TIMEZONE)
    start: Timestamp | None = Field(None, description=_START)
    end: Timestamp | None = Field(None, description=_END)
    jitter: Jitter | None = Field(None, description=_JITTER)
    overlap: Overlap | None = Field(None, description=_OVERLAP)
    catch_up: CatchUp | None = Field(None, description=_CATCH_UP)
    catch_up_limit: int | None = Field(None, ge=1, le=MAX_CATCH_UP, description=_CATCH_UP_LIMIT)
    paused: OrDefault[bool] = Field(False, description=_PAUSED)
    name: Name | None = Field(None, description=_NAME)
    priority: OrDefault[Priority] = Field("normal", description=_PRIORITY)
    params: OrDefault[Parameters] = Field(default_factory=dict, description=_PARAMS)
    labels: OrDefault[Labels] = Field(default_factory=dict, description=_LABELS)
    concurrency_key: KeyTemplate | None = Field(None, description=_KEY)
    concurrency: ConcurrencySpec | None = Field(None, description=_CONCURRENCY)

    @property
    def recurs(self) -> bool:
        """Whether it fires more than once."""
        return self.cron is not None or self.every is not None

    @field_validator("cron", "every")
    @classmethod
    def _one_time(cls, value: T, info: ValidationInfo) -> T:
        others = [name for name in ("run_at", "cron") if name != info.field_name and info.data.get(name) is not None]
        if value is not None and others:
            raise ValueError(f"a schedule has one of run_at, cron and every; {others[0]} is given as well")
        return value

    @field_validator("timezone")
    @classmethod
    def _zone_of_cron(cls, value: T, info: ValidationInfo) -> T:
        if value is not None and "cron" in info.data and info.data["cron"] is None:
            raise ValueError("belongs to cron, which is not given")
        return value

    @field_validator("start", "end", "jitter", "overlap", "catch_up", "catch_up_limit", "paused")
    @classmethod
    def _of_a_recurrence(cls, value: T, info: ValidationInfo) -> T:
        recurs = {name: info.data.get(name, True) for name in ("cron", "every")}  # a bad one is an error of its own
        once = info.field_name == "paused" and info.data.get("run_at") is not None
        if value and not once and all(time is None for time in recurs.values()):
            raise ValueError(
                "needs a time: run_at, cron or every"
                if info.field_name == "paused"
                else "needs cron or every: a schedule that fires once has no use for it"
            )
        return value

    @field_validator("end")
    @classmethod
    def _end_after_start(cls, value: T, info: ValidationInfo) -> T:
        start = info.data.get("start")
        if value is not None and start is not None and value <= start:
            raise ValueError("must be later than start")
        return value

    @field_validator("jitter")
    @classmethod
    def _shorter_than_every(cls, value: T, info: ValidationInfo) -> T:
        every = info.data.get("every")
        if value is not None and every is not None and value >= every:
            raise ValueError("must be less than every")
        return value

    @field_validator("catch_up_limit")
    @classmethod
    def _of_all(cls, value: T, info: ValidationInfo) -> T:
        if value is not None and info.data.get("catch_up", "all") != "all":
            raise ValueError("belongs to catch_up: all")
        return value

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        self.exactly_one_of("job_id", "pipeline_id", "command")
        if self.command is not None and self.params:
            raise ValueError("params belong to a job of a pipeline; give a single command its env")
        if self.command is not None and self.concurrency is not None and self.concurrency_key is None:
            raise ValueError("concurrency needs a concurrency_key")
        return self


class SchedulePatch(Model):
    """The fields of a schedule to change; the others stay. `null` means the default. A time (`run_at`, `cron` or
    `every`) replaces the former one, and so does what to run (`job_id`, `pipeline_id` or `command`)."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"cron": "0 4 * * *", "overlap": None}]})

    job_id: str | None = Field(None, description=_JOB_ID)
    pipeline_id: str | None = Field(None, description=_PIPELINE_ID)
    command: Command | None = Field(None, description="A single command to run.")
    type: StepType | None = Field(None, description="How the command is started.")
    env: Env | None = Field(None, description="Environment variables of the processes, all of them.")
    working_dir: Folder | None = Field(None, description="The working directory of the command.")
    timeout: Seconds | None = Field(None, description="Time limit of one execution of the command, in seconds.")
    queue_timeout: Seconds | None = Field(None, description="How long the command may wait for a worker, in seconds.")
    retry: RetrySpec | None = Field(None, description="Whether and when a failed attempt of the command is retried.")
    retry_on_lost: bool | None = Field(None, description="Whether the command is retried when its worker is lost.")
    max_crashes: int | None = Field(
        None, ge=0, le=100, description="How often it is retried because its worker was lost."
    )
    requires: Labels | None = Field(None, description="Labels that the worker of the command must have.")
    resources: Resources | None = Field(None, description="The resources that one execution of the command needs.")
    run_at: Timestamp | None = Field(None, description=_RUN_AT)
    cron: CronLine | None = Field(None, description=_CRON)
    every: Every | None = Field(None, description=_EVERY)
    timezone: Zone | None = Field(None, description=_TIMEZONE)
    start: Timestamp | None = Field(None, description=_START)
    end: Timestamp | None = Field(None, description=_END)
    jitter: Jitter | None = Field(None, description=_JITTER)
    overlap: Overlap | None = Field(None, description=_OVERLAP)
    catch_up: CatchUp | None = Field(None, description=_CATCH_UP)
    catch_up_limit: int | None = Field(None, ge=1, le=MAX_CATCH_UP, description=_CATCH_UP_LIMIT)
    paused: bool | None = Field(None, description="`true` pauses the schedule, `false` or `null` resumes it.")
    name: Name | None = Field(None, description=_NAME)
    priority: Priority | None = Field(None, description=_PRIORITY)
    params: Parameters | None = Field(None, description="Parameters of the jobs, all of them.")
    labels: Labels | None = Field(None, description="The labels of the jobs that it creates, all of them.")
    concurrency_key: KeyTemplate | None = Field(None, description=_KEY)
    concurrency: ConcurrencySpec | None = Field(None, description=_CONCURRENCY)


class Schedule(Model):
    """Something that runs at a certain time, or again and again."""

    id: Id = Field(description="The schedule's id.")
    status: ScheduleStatus = Field(description="Its status.")
    name: str | None = Field(description="Its name.")
    job_id: Id | None = Field(description="The job that it repeats.")
    pipeline_id: Id | None = Field(description="The pipeline that it runs.")
    command: Command | None = Field(description="The command that it runs.")
    run_at: Timestamp | None = Field(
        description="The time at which it was requested to run; null for at once, and for one that recurs."
    )
    cron: str | None = Field(description="The line of a crontab by which it fires, if there is one.")
    timezone: str | None = Field(description="The time zone of `cron`; null without it.")
    every: float | None = Field(description="The seconds between its due times, if it fires at equal intervals.")
    description: str | None = Field(description="When it fires, in words; null for one that fires once.")
    start: Timestamp | None = Field(description="It is not due before this time.")
    end: Timestamp | None = Field(description="It is not due after this time.")
    jitter: float | None = Field(description="By up to how many seconds each firing is delayed; null if it fires once.")
    overlap: Overlap | None = Field(
        description="What happens when it fires while its former job is not over; null for one that fires once."
    )
    catch_up: CatchUp | None = Field(
        description="What happens to due times that passed while no scheduler ran; null for one that fires once."
    )
    catch_up_limit: int | None = Field(
        description="The most due times for which it catches up; null unless `catch_up` is `all`."
    )
    priority: Priority = Field(description="The priority of the jobs that it creates.")
    params: dict[str, Scalar] = Field(description="Their parameters. Values that look like secrets are `***`.")
    env: dict[str, str] = Field(
        description="Their environment variables, as submitted. Values that look like secrets are `***`."
    )
    labels: dict[str, str] = Field(description="Their labels.")
    concurrency_key: str | None = Field(description="The key that limits how many of its jobs run at once.")
    concurrency: ConcurrencySpec | None = Field(description="How many jobs with that key run at once.")
    next_run_at: Timestamp | None = Field(description="When it fires next; null while it is paused, and at its end.")
    last_run_at: Timestamp | None = Field(description="When it fired last.")
    last_job_id: Id | None = Field(description="The job that it created when it last fired.")
    last_error: str | None = Field(description="Why no job was created when it last fired.")
    missed: int = Field(description="How many due times passed while no scheduler ran, and were not caught up on.")
    created_by: Actor | None = Field(None, description="Who created it; null with access off.")
    created_at: Timestamp = Field(description="When it was accepted.")


class Firing(Model):
    """The result of one due time of a schedule, or of a request to fire it."""

    id: Id = Field(description="The firing's id.")
    schedule_id: Id = Field(description="The schedule to which it belongs.")
    kind: FiringKind = Field(description="Why the schedule fired: its time came, it caught up, or it was triggered.")
    outcome: FiringOutcome = Field(description="Its result; once its job is over, how the job ended.")
    reason: str | None = Field(description="Why there is no job, or why the job did not succeed.")
    detail: str | None = Field(description="The reason in words, if there is more to it than `reason`.")
    due_at: Timestamp = Field(description="When it was due; for several due times that were missed, the last of them.")
    first_due_at: Timestamp | None = Field(description="The first of several due times that were missed; else null.")
    count: int = Field(description="How many due times this entry is about: more than 1 if they were missed together.")
    more: bool = Field(description="Whether more due times than `count` were missed; no more were counted.")
    fired_at: Timestamp | None = Field(description="When the schedule fired.")
    job_id: Id | None = Field(description="The job that was created; null if there is none.")
    finished_at: Timestamp | None = Field(description="When that job ended.")
    triggered_by: Actor | None = Field(
        None, description="Who requested that the schedule fires; null for its due times, and with access off."
    )


class NextTime(Model):
    """A time at which a schedule will fire."""

    utc: Timestamp = Field(description="The time in UTC.")
    local: str = Field(examples=["2026-11-28T02:30:00+01:00"], description="The same time in the schedule's time zone.")


class NextQuery(Model):
    count: int = Field(10, ge=1, le=100, description="How many times to list.")


class ScheduleQuery(PageQuery):
    status: ScheduleStatus | None = Field(None, description="Only schedules with this status.")
    name: NameFilter = Field(
        None, description="Only schedules with exactly this name or, with a `*` at the end, whose names begin with it."
    )
    job_id: str | None = Field(None, description="Only schedules that repeat this job.")
    pipeline_id: str | None = Field(None, description="Only schedules of this pipeline.")
    created_by: Who = Field(None, description="Only schedules that this token created: its id or its name.")


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
