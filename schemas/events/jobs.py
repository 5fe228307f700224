"""Events of jobs, published by the orchestrator."""

from typing import Literal

from pydantic import Field

from schemas.access import Actor
from schemas.events.base import EventData
from schemas.model import Instant
from schemas.specs import Priority
from schemas.states import Reason


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
    concurrency_key: str | None = None
    created_by: Actor | None = Field(
        None,
        description="Who submitted it, or created its schedule; absent with access off.",
    )


class JobWaiting(_JobEvent):
    """The job does not start yet: as many others as may run hold its concurrency key."""

    event_type = "jobs.waiting"
    concurrency_key: str | None = None
    detail: str = Field(description="What it waits for, in words.")


class JobAdmitted(_JobEvent):
    """The job has waited for its concurrency key, and holds it now: its first steps begin."""

    event_type = "jobs.admitted"
    concurrency_key: str | None = None


class JobStarted(_JobEvent):
    event_type = "jobs.started"


class JobReprioritized(_JobEvent):
    """The priority of the job, and of all its tasks that wait, is another from now on."""

    event_type = "jobs.reprioritized"
    priority: Priority
    previous: Priority = Field(description="The priority that it had before.")
    priority_changes: int = Field(description="How often its priority has been changed: the event with the most holds.")
    changed_by: Actor | None = Field(None, description="Who changed it; absent with access off.")


class JobCancelRequested(_JobEvent):
    event_type = "jobs.cancel_requested"
    reason: Reason = Reason.CANCELLED
    detail: str | None = None
    cancelled_by: Actor | None = Field(
        None,
        description=(
            "Who requested it, or submitted the job that takes its place; absent with access off, and where the "
            "platform stops the job by itself."
        ),
    )


class _JobOver(_JobEvent):
    name: str
    pipeline_id: str | None = None
    reason: Reason | None = None
    detail: str | None = Field(None, description="The reason in words, if there is more to it than `reason`.")
    created_at: Instant
    started_at: Instant | None = None
    finished_at: Instant


class JobSucceeded(_JobOver):
    event_type = "jobs.succeeded"


class JobFailed(_JobOver):
    event_type = "jobs.failed"


class JobCancelled(_JobOver):
    event_type = "jobs.cancelled"
    cancelled_by: Actor | None = Field(
        None,
        description=(
            "Who requested it, or submitted the job that took its place; absent with access off, and where the "
            "platform stopped the job by itself."
        ),
    )


class JobDeleted(_JobEvent):
    event_type = "jobs.deleted"
    cause: Literal["request", "retention"] = Field(
        description="`request`: a user deleted it. `retention`: it was older, or one of more, than are kept."
    )
    deleted_by: Actor | None = Field(None, description="Who deleted it; absent with access off.")
