"""`JobRun`: one job with its tasks, and what every report of the outside world changes in it.

Reports are the bus's own events. They come late, twice, out of order or for an attempt that is long over; what no
longer fits changes nothing and is counted in `stale`. What a report does change is found afterwards in `changed`,
`job_changed` and `journal`: writing it down and telling the world is not done here. Legal moves are those of
`schemas.states`; the clock and the dice are handed in.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from orchestrator.domain import retry, waiting
from orchestrator.domain.graph import dependants
from schemas.events import (
    EventData,
    ExecutionFinished,
    ExecutionLost,
    ExecutionStarted,
    JobCancelled,
    JobCancelRequested,
    JobFailed,
    JobStarted,
    JobSucceeded,
    TaskCancelled,
    TaskCancelRequested,
    TaskExpired,
    TaskFailed,
    TaskRetrying,
    TaskScheduled,
    TaskSkipped,
    TaskSucceeded,
    TaskWithdrawn,
)
from schemas.specs import Priority, Resources, RetrySpec
from schemas.states import JOB, TASK, ExecutionStatus, IllegalTransition, JobStatus, Reason, TaskStatus

TaskReport = TaskScheduled | TaskExpired | TaskWithdrawn | ExecutionStarted | ExecutionFinished | ExecutionLost

MOST_AVOIDED: Final = 10
"""On how many workers a task remembers to have failed."""

_FINAL: Final = TASK.final
_ACTIVE: Final = frozenset({TaskStatus.QUEUED, TaskStatus.SCHEDULED, TaskStatus.RUNNING})


@dataclass(slots=True)
class JobState:
    """What of a job changes while it runs, and what its events say of it."""

    id: str
    name: str
    created_at: datetime
    priority: Priority = "normal"
    pipeline_id: str | None = None
    status: JobStatus = JobStatus.PENDING
    reason: Reason | None = None
    detail: str | None = None
    """In words, where the reason alone does not say it."""
    stopping: Reason | None = None
    """Why the job is being stopped: `cancelled` or `job_timeout`."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    traceparent: str | None = None
    """The trace in which the job was submitted (W3C trace context), if there was one; so is `tracestate`."""
    tracestate: str | None = None
    version: int = 0
    """How often the job and its tasks were written before."""


@dataclass(slots=True)
class TaskState:
    """One task: its part of the graph, its rules, and how far it is."""

    id: str
    name: str
    depends_on: tuple[str, ...] = ()
    allow_failure: bool = False
    retry: RetrySpec | None = None
    retry_on_lost: bool = True
    max_crashes: int = 3
    requires: Mapping[str, str] | None = None
    resources: Resources | None = None
    status: TaskStatus = TaskStatus.PENDING
    reason: Reason | None = None
    detail: str | None = None
    attempt: int = 1
    crashes: int = 0
    stops: int = 0
    """How many attempts ended because their worker was stopped on order."""
    exit_code: int | None = None
    execution_id: str | None = None
    """The execution of this attempt: the one that was wished for, or the one that was placed last."""
    run_at: datetime | None = None
    avoids: tuple[str, ...] = ()
    """The workers on which earlier attempts failed or were lost, the last one first."""
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def satisfied(self) -> bool:
        """Whether what depends on this task may run."""
        return self.status is TaskStatus.SUCCEEDED or (self.status is TaskStatus.FAILED and self.allow_failure)


@dataclass(frozen=True, slots=True)
class Queued:
    """Stands in the journal for `tasks.queued`, which needs the whole command: the store makes it."""

    task_id: str
    attempt: int
    at: datetime
    run_at: datetime | None
    avoids: tuple[str, ...]
    execution_id: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal. What was only `observed` was said by others and is not said again."""

    event: EventData | Queued
    at: datetime
    observed: bool = False


@dataclass(slots=True)
class JobRun:
    """A job and its tasks by id. `draw` gives the jitter of retries: a number in [0, 1)."""

    job: JobState
    tasks: Mapping[str, TaskState]
    draw: Callable[[], float]
    journal: list[Entry] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    """Ids of the tasks to write."""
    job_changed: bool = False
    replaced: dict[str, str] = field(default_factory=dict)
    """Tasks that were placed once more within one attempt, and the execution that counts now."""
    emptied: set[str] = field(default_factory=set)
    """Ids of tasks that the scheduler took back: executions of theirs that never began are to be closed."""
    late: set[str] = field(default_factory=set)
    """Ids of executions whose placement was heard of after their task had moved past them: to be closed, if they are
    not over already."""
    stale: int = 0
    queued_before: dict[str, datetime | None] = field(default_factory=dict)
    """Of a job with a trace: since when its tasks' attempts wait or run, as it was loaded."""
    _names: dict[str, TaskState] = field(default_factory=dict)
    _after: dict[str, list[str]] | None = None
    _open: int = -1

    @property
    def touched(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.journal or self.changed or self.job_changed)

    def written(self) -> None:
        """What has changed is committed: from here on everything is as if it had just been loaded."""
        self.job.version += self.touched
        if self.job.traceparent is not None:
            self.queued_before.update((one, self.tasks[one].queued_at) for one in self.changed)
        self.journal, self.changed, self.replaced, self.emptied, self.late = [], set(), {}, set(), set()
        self.job_changed, self.stale = False, 0

    # ------------------------------------------------------------------ commands

    def begin(self, now: datetime, *, run_at: datetime | None = None) -> None:
        """Queue every task that waits for nothing. A job without open tasks succeeds at once."""
        for task in list(self.tasks.values()):
            if task.status is TaskStatus.PENDING and self._ready(task):
                self._queue(task, now, run_at=run_at)
        self._close_if_done(now)

    def cancel(self, now: datetime) -> None:
        """Stop what runs and what waits. Asked again, it asks again. Raises IllegalTransition when the job is over."""
        if JOB.is_final(self.job.status):
            raise IllegalTransition(JOB.name, self.job.status, JobStatus.CANCELLED)
        if self.job.stopping is None:
            self._say(JobCancelRequested(job_id=self.job.id), now)
        self._stop(self.job.stopping or Reason.CANCELLED, now)

    def time_out(self, now: datetime) -> bool:
        """The job's deadline has come. Tells whether that mattered: not when the job is over or being stopped."""
        if JOB.is_final(self.job.status) or self.job.stopping is not None:
            return False
        self._stop(Reason.JOB_TIMEOUT, now)
        return True

    def refuse(self, task_id: str, attempt: int, now: datetime) -> None:
        """The order for a task's attempt is larger than the bus takes, so that it will never run."""
        task = self.tasks.get(task_id)
        if task is None or task.attempt != attempt or task.status is not TaskStatus.QUEUED:
            self.stale += 1
        elif self.job.stopping is not None:
            self._end(task, TaskStatus.CANCELLED, now, reason=self.job.stopping)
        else:
            detail = "its order is larger than the NATS server takes: max_payload was lowered since it was submitted"
            self._end(task, TaskStatus.FAILED, now, reason=Reason.TOO_LARGE, detail=detail)

    # ------------------------------------------------------------------ reports

    def apply(self, report: TaskReport, now: datetime) -> None:
        """Take one report into account, if it still counts."""
        task = self.tasks.get(report.task_id)
        if task is None or report.attempt != task.attempt or task.status not in _ACTIVE:
            self.stale += 1
            if task is not None and isinstance(report, TaskScheduled):
                self._placed_late(task, report)
            return
        match report:
            case TaskScheduled():
                self._scheduled(task, report, now)
            case ExecutionStarted():
                self._started(task, report, now)
            case ExecutionFinished():
                self._finished(task, report, now)
            case ExecutionLost():
                self._observe(report, now)
                self._replace(task, report.execution_id)
                self._lost(task, report.worker_id, now, reason=report.reason, detail=report.detail)
            case TaskExpired():
                self._observe(report, now)
                self.emptied.add(task.id)
                if self.job.stopping is not None:
                    self._end(task, TaskStatus.CANCELLED, now, reason=self.job.stopping)
                else:
                    self._end(task, TaskStatus.FAILED, now, reason=Reason.QUEUE_TIMEOUT, detail=_waited(task, now))
            case TaskWithdrawn():
                self._observe(report, now)
                self.emptied.add(task.id)
                self._end(task, TaskStatus.CANCELLED, now, reason=self.job.stopping or report.reason)

    def _scheduled(self, task: TaskState, report: TaskScheduled, now: datetime) -> None:
        if task.status is TaskStatus.SCHEDULED:
            # Placed once more: the worker gave it back before it began. Ids ascend, so an older one is an echo.
            if task.execution_id is not None and report.execution_id <= task.execution_id:
                self.stale += 1
                self._placed_late(task, report)
                return
            self._replace(task, report.execution_id)
        elif TASK.allows(task.status, TaskStatus.SCHEDULED):
            task.status = TASK.advance(task.status, TaskStatus.SCHEDULED)
        else:
            self.stale += 1
            self._placed_late(task, report)
            return
        task.execution_id = report.execution_id
        self.changed.add(task.id)
        self._observe(report, now)

    def _replace(self, task: TaskState, execution_id: str) -> None:
        """The attempt goes on, or ended, as this execution: an earlier one was given back by its worker."""
        if task.execution_id is not None and task.execution_id < execution_id:
            self.replaced[task.id] = execution_id

    def _placed_late(self, task: TaskState, report: TaskScheduled) -> None:
        """The placement was overtaken by what came of the task; an echo of the current one is of no interest."""
        if report.execution_id != task.execution_id or report.attempt < task.attempt:
            self.late.add(report.execution_id)

    def _started(self, task: TaskState, report: ExecutionStarted, now: datetime) -> None:
        if not TASK.allows(task.status, TaskStatus.RUNNING):
            self.stale += 1
            return
        task.status = TASK.advance(task.status, TaskStatus.RUNNING)
        task.started_at = report.started_at
        self._replace(task, report.execution_id)
        task.execution_id = report.execution_id
        self.changed.add(task.id)
        self._observe(report, now)
        self._job_runs(report.started_at, now)

    def _finished(self, task: TaskState, report: ExecutionFinished, now: datetime) -> None:
        self._observe(report, now)
        self._replace(task, report.execution_id)
        task.execution_id = report.execution_id
        if report.started_at is not None:
            task.started_at = report.started_at
            self._job_runs(report.started_at, now)
        task.exit_code = report.exit_code
        match report.status:
            case ExecutionStatus.SUCCEEDED:
                self._end(task, TaskStatus.SUCCEEDED, now, at=report.finished_at)
            case ExecutionStatus.CANCELLED:
                if report.reason in (Reason.FENCED, Reason.RETURNED) and self.job.stopping is None:
                    # The worker was told that this attempt no longer counts, so that it is as good as lost.
                    self._lost(task, report.worker_id, now)
                    return
                reason = self.job.stopping or report.reason or Reason.CANCELLED
                self._end(task, TaskStatus.CANCELLED, now, reason=reason, at=report.finished_at)
            case ExecutionStatus.FAILED | ExecutionStatus.TIMED_OUT:
                timed_out = report.status is ExecutionStatus.TIMED_OUT
                reason = report.reason or (Reason.TIMEOUT if timed_out else Reason.EXIT_CODE)
                self._failed(task, report, reason, now)

    def _failed(self, task: TaskState, report: ExecutionFinished, reason: Reason, now: datetime) -> None:
        at = report.finished_at
        failures = task.attempt - task.crashes - task.stops
        if (
            task.retry is None
            or reason is Reason.TOO_LARGE  # and so will be every other attempt
            or not retry.again_after_failure(task.retry, failures=failures, exit_code=task.exit_code)
        ):
            self._end(task, TaskStatus.FAILED, now, reason=reason, detail=report.detail, at=at)
        elif self.job.stopping is not None:
            self._end(task, TaskStatus.CANCELLED, now, reason=self.job.stopping, at=at)
        else:
            wait = retry.delay(task.retry, failures, draw=self.draw())
            run_at = now + timedelta(seconds=wait) if wait else None
            self._again(task, reason, now, run_at=run_at, avoids=_and(task.avoids, report.worker_id))

    def _lost(
        self,
        task: TaskState,
        worker_id: str,
        now: datetime,
        *,
        reason: Reason = Reason.LOST,
        detail: str | None = None,
    ) -> None:
        """The attempt has no outcome. Where its worker was stopped on order, nothing speaks against that worker, and
        the task has used up nothing."""
        task.exit_code = None
        if self.job.stopping is not None:
            self._end(task, TaskStatus.CANCELLED, now, reason=self.job.stopping)
        elif reason is Reason.WORKER_STOPPED and task.retry_on_lost:
            task.stops += 1
            self._again(task, reason, now, avoids=task.avoids)
        elif retry.again_after_loss(
            retry_on_lost=task.retry_on_lost, crashes=task.crashes + 1, max_crashes=task.max_crashes
        ):
            task.crashes += 1
            self._again(task, reason, now, avoids=_and(task.avoids, worker_id))
        else:
            self._end(task, TaskStatus.FAILED, now, reason=reason, detail=detail)

    # ------------------------------------------------------------------ moves

    def _queue(self, task: TaskState, now: datetime, *, run_at: datetime | None = None) -> None:
        task.status = TASK.advance(task.status, TaskStatus.QUEUED)
        task.queued_at, task.run_at = now, run_at
        self.changed.add(task.id)
        queued = Queued(task.id, task.attempt, now, run_at, task.avoids, task.execution_id)
        self.journal.append(Entry(queued, now))

    def _again(
        self,
        task: TaskState,
        reason: Reason,
        now: datetime,
        *,
        run_at: datetime | None = None,
        avoids: tuple[str, ...],
    ) -> None:
        task.attempt += 1
        task.avoids = avoids
        task.exit_code = task.started_at = task.execution_id = None
        retrying = TaskRetrying(
            task_id=task.id, job_id=self.job.id, attempt=task.attempt, name=task.name, reason=reason, run_at=run_at
        )
        self._say(retrying, now)
        self._queue(task, now, run_at=run_at)

    def _end(
        self,
        task: TaskState,
        status: TaskStatus,
        now: datetime,
        *,
        reason: Reason | None = None,
        detail: str | None = None,
        at: datetime | None = None,
    ) -> None:
        """End the task and do what follows from it: queue or skip what waited for it, close the job."""
        self._set_final(task, status, now, reason=reason, detail=detail, at=at)
        if not task.satisfied:
            self._skip_after(task, now)
        elif self.job.stopping is None:
            for name in self._dependants(task):
                following = self._names[name]
                if following.status is TaskStatus.PENDING and self._ready(following):
                    self._queue(following, now)
        self._close_if_done(now)

    def _skip_after(self, task: TaskState, now: datetime) -> None:
        pending = list(reversed(self._dependants(task)))
        while pending:
            following = self._names[pending.pop()]
            if following.status is TaskStatus.PENDING:
                self._set_final(following, TaskStatus.SKIPPED, now, reason=Reason.DEPENDENCY_FAILED)
                pending += reversed(self._dependants(following))

    def _set_final(
        self,
        task: TaskState,
        status: TaskStatus,
        now: datetime,
        *,
        reason: Reason | None = None,
        detail: str | None = None,
        at: datetime | None = None,
    ) -> None:
        still_open = self._count_open()
        task.status = TASK.advance(task.status, status)
        self._open = still_open - 1
        task.reason, task.finished_at = reason, at or now
        if status is not TaskStatus.CANCELLED or reason is not Reason.JOB_TIMEOUT:
            task.detail = detail  # what it was doing at the job's time limit was noted then
        self.changed.add(task.id)
        self._say(_ending(self.job.id, task), now)

    def _stop(self, reason: Reason, now: datetime) -> None:
        self.job.stopping = reason
        self.job_changed = True
        if reason is Reason.JOB_TIMEOUT:
            self._note_doings(now)
        for task in self.tasks.values():
            if task.status is TaskStatus.PENDING:
                self._set_final(task, TaskStatus.CANCELLED, now, reason=reason)
            elif task.status in _ACTIVE:
                request = TaskCancelRequested(task_id=task.id, job_id=self.job.id, attempt=task.attempt, reason=reason)
                self._say(request, now)
        self._close_if_done(now)

    def _note_doings(self, now: datetime) -> None:
        """Keep what the job is doing or waiting for at its time limit."""
        doings = []
        for task in self.tasks.values():
            if task.status in _ACTIVE:
                task.detail = _doing(task, now)
                self.changed.add(task.id)
                doings.append(f"step {task.name} {task.detail}")
        self.job.detail = waiting.summed_up(self.job.started_at is not None, doings)

    def _job_runs(self, since: datetime, now: datetime) -> None:
        job = self.job
        if job.status is JobStatus.PENDING:
            job.status = JOB.advance(job.status, JobStatus.RUNNING)
            job.started_at = since
            self.job_changed = True
            self._say(JobStarted(job_id=job.id), now)

    def _close_if_done(self, now: datetime) -> None:
        if self._count_open() or JOB.is_final(self.job.status):
            return
        job = self.job
        status, reason, cause = _outcome(self.tasks.values(), job.stopping)
        job.status = JOB.advance(job.status, status)
        job.reason, job.finished_at = reason, now
        if reason is not Reason.JOB_TIMEOUT:
            job.detail = f"step {cause.name}: {cause.detail}" if cause is not None and cause.detail else None
        self.job_changed = True
        event = {
            JobStatus.SUCCEEDED: JobSucceeded,
            JobStatus.FAILED: JobFailed,
            JobStatus.CANCELLED: JobCancelled,
        }[status]
        self._say(
            event(
                job_id=job.id,
                name=job.name,
                pipeline_id=job.pipeline_id,
                reason=reason,
                detail=job.detail,
                created_at=job.created_at,
                started_at=job.started_at,
                finished_at=now,
            ),
            now,
        )

    # ------------------------------------------------------------------ looking

    def _ready(self, task: TaskState) -> bool:
        if not task.depends_on:
            return True
        self._dependants(task)
        return all(self._names[name].satisfied for name in task.depends_on)

    def _dependants(self, task: TaskState) -> list[str]:
        if self._after is None:
            self._names = {one.name: one for one in self.tasks.values()}
            self._after = dependants({one.name: one.depends_on for one in self.tasks.values()})
        return self._after.get(task.name, [])

    def _count_open(self) -> int:
        if self._open < 0:
            self._open = sum(task.status not in _FINAL for task in self.tasks.values())
        return self._open

    def _say(self, event: EventData, now: datetime) -> None:
        self.journal.append(Entry(event, now))

    def _observe(self, event: EventData, now: datetime) -> None:
        self.journal.append(Entry(event, now, observed=True))


def _ending(job_id: str, task: TaskState) -> EventData:
    ids = {"task_id": task.id, "job_id": job_id, "attempt": task.attempt, "name": task.name}
    match task.status:
        case TaskStatus.SUCCEEDED:
            return TaskSucceeded.model_validate(ids)
        case TaskStatus.FAILED:
            why = {"reason": task.reason, "detail": task.detail, "exit_code": task.exit_code}
            return TaskFailed.model_validate({**ids, **why})
        case TaskStatus.CANCELLED:
            return TaskCancelled.model_validate({**ids, "reason": task.reason, "detail": task.detail})
        case _:
            return TaskSkipped.model_validate({**ids, "reason": task.reason})


def _outcome(tasks: Iterable[TaskState], stopping: Reason | None) -> tuple[JobStatus, Reason | None, TaskState | None]:
    """What became of a job whose tasks are all over, and the task that it failed by. One that was stopped too late has
    simply ended."""
    cancelled = False
    cause: TaskState | None = None
    failure: Reason | None = None
    for task in tasks:
        if task.status is TaskStatus.CANCELLED:
            cancelled = True
        elif failure is None and not task.satisfied:
            failure, cause = task.reason or Reason.EXIT_CODE, task
        elif failure is Reason.DEPENDENCY_FAILED and task.status is TaskStatus.FAILED and not task.satisfied:
            failure, cause = task.reason, task  # the cause says more than its consequence
    if cancelled and stopping is Reason.JOB_TIMEOUT:
        return JobStatus.FAILED, Reason.JOB_TIMEOUT, None
    if cancelled:
        return JobStatus.CANCELLED, Reason.CANCELLED, None
    if failure is not None:
        return JobStatus.FAILED, failure, cause
    return JobStatus.SUCCEEDED, None, None


def _doing(task: TaskState, now: datetime) -> str:
    """What a task that is not over has been doing, in words."""
    if task.status is TaskStatus.RUNNING:
        return f"had run for {waiting.in_seconds(waiting.since(task.started_at, now))}"
    if task.status is TaskStatus.SCHEDULED:
        return "was placed on a worker and had not started"
    if task.run_at is not None and task.run_at > now:
        return f"was not yet due for its attempt {task.attempt}"
    return _waited(task, now)


def _waited(task: TaskState, now: datetime) -> str:
    ready = max(filter(None, (task.queued_at, task.run_at)), default=None)
    return waiting.for_a_worker(waiting.since(ready, now), task.requires, task.resources)


def _and(avoids: tuple[str, ...], worker_id: str) -> tuple[str, ...]:
    """The workers to avoid, with one more at their head."""
    return (worker_id, *(one for one in avoids if one != worker_id))[:MOST_AVOIDED]
