"""Events of tasks. The orchestrator publishes them, except where a class names another service."""

from typing import Final

from pydantic import Field

from schemas.access import Actor
from schemas.events.base import EventData
from schemas.model import Instant
from schemas.params import ParamSpec, Scalar
from schemas.specs import Priority, Resources, RunSpec
from schemas.states import Reason, StopReason


class _TaskEvent(EventData):
    task_id: str
    job_id: str
    attempt: int

    def entity_id(self) -> str:
        return self.task_id


class _NamedTaskEvent(_TaskEvent):
    name: str = Field(description="The step's name.")
    matrix: dict[str, Scalar] | None = Field(None, description="The values of the step's matrix for this task.")
    index: int | None = Field(None, description="The task's place in the step's matrix, from 0.")


class TaskQueued(_NamedTaskEvent):
    """The task may run: everything that the scheduler and the worker need to know of it."""

    event_type = "tasks.queued"
    priority: Priority = "normal"
    priority_changes: int | None = Field(
        None, description="How often the job's priority had been changed; absent if it never was."
    )
    requires: dict[str, str] = Field(default_factory=dict)
    resources: Resources | None = None
    labels: dict[str, str] = Field(
        default_factory=dict, description="The step's own labels; those of the job are in `jobs.created`."
    )
    run: RunSpec
    run_at: Instant | None = Field(None, description="Do not start it before this time.")
    queued_at: Instant
    queue_deadline: Instant | None = Field(None, description="Until when the task may wait for a worker.")
    execution_id: str | None = Field(
        None, description="The id that this attempt's execution must have, if it is given."
    )
    avoid_worker_id: str | None = Field(None, description="No longer sent; see `avoid_worker_ids`.")
    avoid_worker_ids: list[str] = Field(
        default_factory=list,
        max_length=10,
        description="Workers on which earlier attempts failed or were lost, the latest first; others are preferred.",
    )


class TaskScheduled(_NamedTaskEvent):
    """The scheduler chose a worker: the order to run."""

    event_type = "tasks.scheduled"
    name: str = Field("", description="The step's name.")
    execution_id: str
    worker_id: str
    worker_name: str | None = Field(None, description="The worker's name, if it is known.")
    incarnation: str
    labels: dict[str, str] | None = Field(None, description="Those of the step; absent where there are none.")
    run: RunSpec
    scheduled_at: Instant


class TaskExpired(_TaskEvent):
    """By the scheduler: the task waited longer than its queue_timeout and is no longer in the queue."""

    event_type = "tasks.expired"


class TaskCancelRequested(_TaskEvent):
    event_type = "tasks.cancel_requested"
    reason: StopReason = Reason.CANCELLED


class TaskWithdrawn(_TaskEvent):
    """By the scheduler: a cancelled task had not been placed and is no longer in the queue."""

    event_type = "tasks.withdrawn"
    reason: StopReason = Reason.CANCELLED


_OUTPUTS: Final = (
    "What the step wrote to $HODEI_OUTPUT, by name; absent when it wrote nothing, and when NATS does not take as much."
)


class TaskApprovalRequested(_TaskEvent):
    """An approval waits for a decision: `POST /api/v1/tasks/{id}/approve` or `…/reject`."""

    event_type = "tasks.approval_requested"
    name: str
    message: str = ""
    deadline: Instant | None = Field(None, description="When it fails if it was not decided before.")
    inputs: dict[str, ParamSpec] | None = Field(None, description="The declarations of its inputs, if it has any.")


class _Decided(_TaskEvent):
    name: str
    by: str | None = Field(None, description="Who decided, as far as the request named them.")
    comment: str | None = Field(None, description="Why, in the words of the request.")
    decided_by: Actor | None = Field(
        None, description="The token with which the decision was requested; absent with access off."
    )


class TaskApproved(_Decided):
    event_type = "tasks.approved"
    inputs: dict[str, Scalar] | None = Field(None, description="The values of its inputs, if it has any.")


class TaskRejected(_Decided):
    event_type = "tasks.rejected"


class TaskSucceeded(_NamedTaskEvent):
    event_type = "tasks.succeeded"
    outputs: dict[str, str] | None = Field(None, description=_OUTPUTS)


class TaskFailed(_NamedTaskEvent):
    event_type = "tasks.failed"
    reason: Reason
    detail: str | None = Field(None, description="The reason in words, if there is more to it than `reason`.")
    exit_code: int | None = None
    outputs: dict[str, str] | None = Field(None, description=_OUTPUTS)


class TaskCancelled(_NamedTaskEvent):
    event_type = "tasks.cancelled"
    reason: Reason = Reason.CANCELLED
    detail: str | None = Field(None, description="What the job was doing or waiting for when it ran out of time.")


class TaskSkipped(_NamedTaskEvent):
    event_type = "tasks.skipped"
    reason: Reason = Reason.DEPENDENCY_FAILED


class TaskRetrying(_NamedTaskEvent):
    """An attempt failed or was lost; `attempt` is the one that comes next, due at `run_at`."""

    event_type = "tasks.retrying"
    reason: Reason
    run_at: Instant | None = None
