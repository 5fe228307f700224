"""Events of schedules. The scheduler publishes them; the orchestrator answers with confirmed or refused."""

from pydantic import Field, model_validator

from schemas.access import Actor
from schemas.events.base import EventData
from schemas.events.target import JobTarget
from schemas.model import Instant
from schemas.refusals import FiringRefusal, RefusedField, reason_of_status
from schemas.states import FiringKind, JobStatus, Reason


class _ScheduleEvent(EventData):
    schedule_id: str

    def entity_id(self) -> str:
        return self.schedule_id


class ScheduleCreated(_ScheduleEvent):
    event_type = "schedules.created"
    target: JobTarget
    next_run_at: Instant | None = None
    created_by: Actor | None = Field(None, description="Who created it; absent with access off.")


class ScheduleFired(_ScheduleEvent):
    """The schedule is due: the orchestrator makes the job `job_id` of it."""

    event_type = "schedules.fired"
    job_id: str
    target: JobTarget
    due_at: Instant
    kind: FiringKind = Field(FiringKind.TIME, description="Why it fired: its time, a time that was missed, a request.")
    created_by: Actor | None = Field(
        None, description="Who created the schedule, and so its jobs; absent with access off."
    )
    triggered_by: Actor | None = Field(None, description="Who requested that it fires; absent with access off.")


class ScheduleUpdated(_ScheduleEvent):
    """The schedule was changed over REST."""

    event_type = "schedules.updated"
    changed: list[str] = Field(description="The fields that were given.")
    next_run_at: Instant | None = None
    updated_by: Actor | None = Field(None, description="Who changed it; absent with access off.")


class SchedulePaused(_ScheduleEvent):
    event_type = "schedules.paused"
    paused_by: Actor | None = Field(None, description="Who paused it; absent with access off.")


class ScheduleResumed(_ScheduleEvent):
    event_type = "schedules.resumed"
    next_run_at: Instant | None = None
    resumed_by: Actor | None = Field(None, description="Who resumed it; absent with access off.")


class ScheduleMissed(_ScheduleEvent):
    """The schedule was due while no scheduler could fire it, and does not fire for these times."""

    event_type = "schedules.missed"
    count: int = Field(description="How many due times were missed, at least.")
    first_due_at: Instant
    last_due_at: Instant


class ScheduleCompleted(_ScheduleEvent):
    """The schedule has no due time left."""

    event_type = "schedules.completed"


class ScheduleFailed(_ScheduleEvent):
    """The schedule does not fire any more, because what it runs does not exist or cannot run, or because its times
    cannot be computed any more."""

    event_type = "schedules.failed"
    detail: str


class ScheduleFinished(_ScheduleEvent):
    """By the orchestrator: a job that the schedule created is over."""

    event_type = "schedules.finished"
    job_id: str
    status: JobStatus = Field(description="How the job ended.")
    reason: Reason | None = None
    finished_at: Instant


class ScheduleDeleted(_ScheduleEvent):
    event_type = "schedules.deleted"
    deleted_by: Actor | None = Field(
        None, description="Who deleted it; absent with access off, and where it was no longer kept."
    )


class ScheduleConfirmed(_ScheduleEvent):
    """By the orchestrator: the schedule's target exists, or, with a `job_id`, its firing created that job."""

    event_type = "schedules.confirmed"
    job_id: str | None = None


class ScheduleRefused(_ScheduleEvent):
    """By the orchestrator: the schedule's target does not exist or cannot run. Version 1 has an HTTP
    `status` (404, 409 or 422) in place of `reason`, and is still read."""

    event_type = "schedules.refused"
    version = 2
    job_id: str | None = None
    reason: FiringRefusal = Field(description="Why the request was refused.")
    detail: str
    errors: list[RefusedField] | None = Field(None, description="The fields that are not valid, if any.")

    _version_1 = model_validator(mode="before")(reason_of_status)
