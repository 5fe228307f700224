"""Every event of the platform: one class per type, one module per entity.

An event states a fact about one entity; `entity_id()` is that entity (the CloudEvents `subject`), and `job_id`,
where there is one, is the job it belongs to. Classes here only ever gain optional fields; anything else is a
new version of the type. How events are wrapped and batched: `schemas.cloudevents`; where they go:
`schemas.subjects`.
"""

from collections.abc import Iterator
from typing import Final

from schemas.events.base import EventData
from schemas.events.executions import (
    ExecutionCancelRequested,
    ExecutionCompleted,
    ExecutionFinished,
    ExecutionLost,
    ExecutionRefused,
    ExecutionRequested,
    ExecutionReturned,
    ExecutionStarted,
    LogSummary,
)
from schemas.events.jobs import (
    JobAdmitted,
    JobCancelled,
    JobCancelRequested,
    JobCreated,
    JobDeleted,
    JobFailed,
    JobReprioritized,
    JobStarted,
    JobSucceeded,
    JobWaiting,
)
from schemas.events.logs import LogChunk, LogGap, LogLine
from schemas.events.pipelines import PipelineArchived, PipelineCreated, PipelineUpdated
from schemas.events.schedules import (
    ScheduleCompleted,
    ScheduleConfirmed,
    ScheduleCreated,
    ScheduleDeleted,
    ScheduleFailed,
    ScheduleFinished,
    ScheduleFired,
    ScheduleMissed,
    SchedulePaused,
    ScheduleRefused,
    ScheduleResumed,
    ScheduleUpdated,
)
from schemas.events.sessions import SessionEnded, SessionKeyAdded
from schemas.events.target import JobTarget
from schemas.events.tasks import (
    TaskApprovalRequested,
    TaskApproved,
    TaskCancelled,
    TaskCancelRequested,
    TaskExpired,
    TaskFailed,
    TaskQueued,
    TaskRejected,
    TaskRetrying,
    TaskScheduled,
    TaskSkipped,
    TaskSucceeded,
    TaskWithdrawn,
)
from schemas.events.tokens import TokenCreated, TokenRevoked
from schemas.events.workers import (
    WorkerDraining,
    WorkerEnrolled,
    WorkerForgotten,
    WorkerOffline,
    WorkerRecovered,
    WorkerRegistered,
    WorkerResumed,
    WorkerRevoked,
    WorkerStarted,
    WorkerStopped,
    WorkerUnhealthy,
)

__all__ = [
    "EVENT_TYPES",
    "EventData",
    "ExecutionCancelRequested",
    "ExecutionCompleted",
    "ExecutionFinished",
    "ExecutionLost",
    "ExecutionRefused",
    "ExecutionRequested",
    "ExecutionReturned",
    "ExecutionStarted",
    "JobAdmitted",
    "JobCancelRequested",
    "JobCancelled",
    "JobCreated",
    "JobDeleted",
    "JobFailed",
    "JobReprioritized",
    "JobStarted",
    "JobSucceeded",
    "JobTarget",
    "JobWaiting",
    "LogChunk",
    "LogGap",
    "LogLine",
    "LogSummary",
    "PipelineArchived",
    "PipelineCreated",
    "PipelineUpdated",
    "ScheduleCompleted",
    "ScheduleConfirmed",
    "ScheduleCreated",
    "ScheduleDeleted",
    "ScheduleFailed",
    "ScheduleFinished",
    "ScheduleFired",
    "ScheduleMissed",
    "SchedulePaused",
    "ScheduleRefused",
    "ScheduleResumed",
    "ScheduleUpdated",
    "SessionEnded",
    "SessionKeyAdded",
    "TaskApprovalRequested",
    "TaskApproved",
    "TaskCancelRequested",
    "TaskCancelled",
    "TaskExpired",
    "TaskFailed",
    "TaskQueued",
    "TaskRejected",
    "TaskRetrying",
    "TaskScheduled",
    "TaskSkipped",
    "TaskSucceeded",
    "TaskWithdrawn",
    "TokenCreated",
    "TokenRevoked",
    "WorkerDraining",
    "WorkerEnrolled",
    "WorkerForgotten",
    "WorkerOffline",
    "WorkerRecovered",
    "WorkerRegistered",
    "WorkerResumed",
    "WorkerRevoked",
    "WorkerStarted",
    "WorkerStopped",
    "WorkerUnhealthy",
]


def _concrete(root: type[EventData]) -> Iterator[type[EventData]]:
    for child in root.__subclasses__():
        if "event_type" in child.__dict__:
            yield child
        yield from _concrete(child)


EVENT_TYPES: Final[dict[str, type[EventData]]] = {cls.event_type: cls for cls in _concrete(EventData)}
"""Every event class by its `event_type`."""
