"""The outcome of a task or a job: the event of its end, and its reason in words. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, assert_never

from orchestrator.domain import waiting
from orchestrator.domain.state import JobState, TaskState
from schemas.events import (
    EventData,
    JobCancelled,
    JobFailed,
    JobSucceeded,
    ScheduleFinished,
    TaskCancelled,
    TaskFailed,
    TaskSkipped,
    TaskSucceeded,
)
from schemas.states import JobStatus, Reason, TaskStatus

_JOB_ENDS: Final = {
    JobStatus.SUCCEEDED: JobSucceeded,
    JobStatus.FAILED: JobFailed,
    JobStatus.CANCELLED: JobCancelled,
}


def ending(job_id: str, task: TaskState) -> EventData:
    """The event of a task's end. Raises ValueError for a task that has not ended."""
    ids = {"task_id": task.id, "job_id": job_id, "attempt": task.attempt, "name": task.name}
    if task.rules.index is not None:
        ids |= {"matrix": task.matrix, "index": task.rules.index}
    match task.status:
        case TaskStatus.SUCCEEDED:
            return TaskSucceeded.model_validate({**ids, "outputs": task.outputs})
        case TaskStatus.FAILED:
            why = {"reason": task.reason, "detail": task.detail, "exit_code": task.exit_code, "outputs": task.outputs}
            return TaskFailed.model_validate({**ids, **why})
        case TaskStatus.CANCELLED:
            return TaskCancelled.model_validate({**ids, "reason": task.reason, "detail": task.detail})
        case TaskStatus.SKIPPED:
            return TaskSkipped.model_validate({**ids, "reason": task.reason})
        case TaskStatus.PENDING | TaskStatus.QUEUED | TaskStatus.SCHEDULED | TaskStatus.RUNNING:
            raise ValueError(f"task {task.id} has not ended: it is {task.status.value}")
        case _:
            assert_never(task.status)


def job_ending(job: JobState, at: datetime) -> EventData:
    """The event of a job's end. Raises KeyError for a job that has not ended."""
    event = _JOB_ENDS[job.status](
        job_id=job.id,
        name=job.name,
        pipeline_id=job.pipeline_id,
        reason=job.reason,
        detail=job.detail,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=at,
    )
    if isinstance(event, JobCancelled) and job.cancelled_by is not None:
        return event.model_copy(update={"cancelled_by": job.cancelled_by})
    return event


def schedule_finished(job: JobState, at: datetime) -> ScheduleFinished | None:
    """The event of a job's end for the schedule that created it; None for other jobs."""
    if job.schedule_id is None:
        return None
    return ScheduleFinished(
        schedule_id=job.schedule_id, job_id=job.id, status=job.status, reason=job.reason, finished_at=at
    )


_CANCELS: Final = frozenset({Reason.CANCELLED, Reason.SUPERSEDED, Reason.CONCURRENCY_LIMIT})
"""The reasons to stop a job after which it is cancelled."""


def outcome(
    tasks: Iterable[TaskState], stopping: Reason | None, *, early: bool
) -> tuple[JobStatus, Reason | None, TaskState | None]:
    """The status and reason of a job whose tasks have all ended, and the task that made it fail. A job that was stopped
    after its last task had ended keeps the outcome of its tasks. A clean-up that failed makes a stopped job fail.
    `early`: the job was stopped before it began or before its clean-up was over, so a success of that does not make it
    succeed."""
    cancelled = False
    cause: TaskState | None = None
    clean_up: TaskState | None = None
    for task in tasks:
        if task.status is TaskStatus.CANCELLED:
            cancelled = cancelled or task.reason is not Reason.FAIL_FAST
        elif task.status is TaskStatus.FAILED and not task.rules.allow_failure:
            cause = cause or task
            clean_up = clean_up or (task if task.cleans_up else None)
    if cancelled:
        if stopping is Reason.JOB_TIMEOUT:
            return JobStatus.FAILED, Reason.JOB_TIMEOUT, None
        if clean_up is None:
            return JobStatus.CANCELLED, stopping if stopping in _CANCELS else Reason.CANCELLED, None
        cause = clean_up
    if cause is not None:
        return JobStatus.FAILED, cause.reason or Reason.EXIT_CODE, cause
    if early and stopping is not None:
        return (JobStatus.CANCELLED if stopping in _CANCELS else JobStatus.FAILED), stopping, None
    return JobStatus.SUCCEEDED, None, None


def doing(task: TaskState, now: datetime) -> str:
    """What an unfinished task is doing, in words."""
    if task.status is TaskStatus.RUNNING:
        return f"had run for {waiting.in_seconds(waiting.since(task.started_at, now))}"
    if task.status is TaskStatus.SCHEDULED:
        return "was placed on a worker and had not started"
    if task.run_at is not None and task.run_at > now:
        return f"was not yet due for its attempt {task.attempt}"
    return waited(task, now)


def waited(task: TaskState, now: datetime) -> str:
    """How long a ready task has waited, and for which worker, in words."""
    ready = max(filter(None, (task.queued_at, task.run_at)), default=None)
    return waiting.for_a_worker(waiting.since(ready, now), task.rules.requires, task.rules.resources)
