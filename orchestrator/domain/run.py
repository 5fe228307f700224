"""`JobRun`: one job with its tasks, and the changes that reports cause in it.

Reports are events of the bus. They come late, twice, out of order, or for an attempt that ended long ago; a report that
no longer fits changes nothing and is counted in `stale`. The changes are then in `changed`, `job_changed` and
`journal`; `orchestrator.unit_of_work` writes them and emits `events`. `schemas.states` has the legal transitions. The
caller passes the time and the random numbers. Pure.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, assert_never

from orchestrator.domain import retry, waiting
from orchestrator.domain.graph import dependants
from orchestrator.domain.orders import Commands, Entry, Orders, Queued
from orchestrator.domain.outcome import doing, ending, job_ending, outcome, waited
from orchestrator.domain.state import JobState, TaskState
from schemas.events import (
    EventData,
    ExecutionFinished,
    ExecutionLost,
    ExecutionStarted,
    JobCancelRequested,
    JobStarted,
    TaskCancelRequested,
    TaskExpired,
    TaskRetrying,
    TaskScheduled,
    TaskWithdrawn,
)
from schemas.states import JOB, TASK, ExecutionStatus, IllegalTransition, JobStatus, Reason, TaskStatus

TaskReport = TaskScheduled | TaskExpired | TaskWithdrawn | ExecutionStarted | ExecutionFinished | ExecutionLost

_ACTIVE: Final = frozenset({TaskStatus.QUEUED, TaskStatus.SCHEDULED, TaskStatus.RUNNING})


@dataclass(slots=True)
class JobRun:
    """A job and its tasks by id. `draw` returns the random numbers for retries, in [0, 1)."""

    job: JobState
    tasks: Mapping[str, TaskState]
    draw: Callable[[], float]
    journal: list[Entry] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    """Ids of the tasks to write."""
    job_changed: bool = False
    replaced: dict[str, str] = field(default_factory=dict)
    """By id of a task that was placed again within one attempt: the execution that counts now."""
    emptied: set[str] = field(default_factory=set)
    """Ids of tasks that the scheduler took back. Their executions that never began are closed."""
    late: set[str] = field(default_factory=set)
    """Ids of executions whose placement was reported after their task had moved on: those that still run are closed."""
    stale: int = 0
    queued_before: dict[str, datetime | None] = field(default_factory=dict)
    """For a job with a trace, by task id: since when the task's attempt had waited or run when the job was loaded."""
    _names: dict[str, TaskState] = field(default_factory=dict)
    _after: dict[str, list[str]] | None = None
    _open: int = -1

    @property
    def ordered(self) -> list[str]:
        """The ids of the tasks with orders in the journal: `events` needs their commands."""
        return [entry.event.task_id for entry in self.journal if isinstance(entry.event, Queued)]

    def events(self, commands: Commands) -> Iterator[EventData]:
        """The events to emit, in order. Raises KeyError for an order whose task has no command."""
        orders = Orders(self.job.id, self.job.name, self.job.priority, self.job.tracestate, commands.env)
        for entry in self.journal:
            if isinstance(entry.event, Queued):
                rules = self.tasks[entry.event.task_id].rules
                yield orders.order(rules, commands.of_tasks[entry.event.task_id], entry.event)
            elif not entry.observed:
                yield entry.event

    @property
    def touched(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.journal or self.changed or self.job_changed)

    def written(self) -> None:
        """Call after the commit: the run then has no changes, as if it had just been loaded."""
        self.job.version += self.touched
        if self.job.traceparent is not None:
            self.queued_before.update((one, self.tasks[one].queued_at) for one in self.changed)
        self.journal, self.changed, self.replaced, self.emptied, self.late = [], set(), {}, set(), set()
        self.job_changed, self.stale = False, 0

    # ------------------------------------------------------------------ commands

    def begin(self, now: datetime, *, run_at: datetime | None = None) -> None:
        """Queue every task that depends on no other. A job without open tasks succeeds at once."""
        for task in list(self.tasks.values()):
            if task.status is TaskStatus.PENDING and self._ready(task):
                self._queue(task, now, run_at=run_at)
        self._close_if_done(now)

    def cancel(self, now: datetime) -> None:
        """Stop every task that runs or waits; a second call repeats the request. Raises IllegalTransition if the job
        has ended."""
        if JOB.is_final(self.job.status):
            raise IllegalTransition(JOB.name, self.job.status, JobStatus.CANCELLED)
        if self.job.stopping is None:
            self._say(JobCancelRequested(job_id=self.job.id), now)
        self._stop(self.job.stopping or Reason.CANCELLED, now)

    def time_out(self, now: datetime) -> bool:
        """Stop the job at its time limit. Returns False, and changes nothing, if it has ended or is being stopped."""
        if JOB.is_final(self.job.status) or self.job.stopping is not None:
            return False
        self._stop(Reason.JOB_TIMEOUT, now)
        return True

    def refuse(self, task_id: str, attempt: int, now: datetime) -> None:
        """Fail a task whose order for this attempt is larger than the bus takes, so that it can never run."""
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
        """Apply one report, unless it is stale."""
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
                    self._end(task, TaskStatus.FAILED, now, reason=Reason.QUEUE_TIMEOUT, detail=waited(task, now))
            case TaskWithdrawn():
                self._observe(report, now)
                self.emptied.add(task.id)
                self._end(task, TaskStatus.CANCELLED, now, reason=self.job.stopping or report.reason)
            case _:
                assert_never(report)

    def _scheduled(self, task: TaskState, report: TaskScheduled, now: datetime) -> None:
        if task.status is TaskStatus.SCHEDULED:
            # Placed again: the worker gave it back before it began. Ids ascend, so a lower one is an old report.
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
        """Note that this execution continues or ended the attempt; the worker gave an earlier one back."""
        if task.execution_id is not None and task.execution_id < execution_id:
            self.replaced[task.id] = execution_id

    def _placed_late(self, task: TaskState, report: TaskScheduled) -> None:
        """Note a placement that was reported after later events of the task. A repeated report of the current one is
        ignored."""
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
                    # The worker was told that this attempt no longer counts, so the attempt is treated as lost.
                    self._lost(task, report.worker_id, now)
                    return
                reason = self.job.stopping or report.reason or Reason.CANCELLED
                self._end(task, TaskStatus.CANCELLED, now, reason=reason, at=report.finished_at)
            case ExecutionStatus.FAILED:
                self._failed(task, report, report.reason or Reason.EXIT_CODE, now)
            case ExecutionStatus.TIMED_OUT:
                self._failed(task, report, report.reason or Reason.TIMEOUT, now)
            case _:
                assert_never(report.status)

    def _failed(self, task: TaskState, report: ExecutionFinished, reason: Reason, now: datetime) -> None:
        failures = task.attempt - task.crashes - task.stops
        rules = task.rules.retry
        again = retry.again_after_failure(rules, failures=failures, exit_code=task.exit_code)
        if rules is None or not again or reason is Reason.TOO_LARGE:  # every other attempt would be too large as well
            self._end(task, TaskStatus.FAILED, now, reason=reason, detail=report.detail, at=report.finished_at)
        elif self.job.stopping is not None:
            self._end(task, TaskStatus.CANCELLED, now, reason=self.job.stopping, at=report.finished_at)
        else:
            wait = retry.delay(rules, failures, draw=self.draw())
            run_at = now + timedelta(seconds=wait) if wait else None
            self._again(task, reason, now, run_at=run_at, avoids=task.avoiding(report.worker_id))

    def _lost(
        self,
        task: TaskState,
        worker_id: str,
        now: datetime,
        *,
        reason: Reason = Reason.LOST,
        detail: str | None = None,
    ) -> None:
        """The attempt has no outcome. If its worker stopped on order, the worker is not avoided, and the attempt uses
        no retry budget."""
        rules, task.exit_code = task.rules, None
        if self.job.stopping is not None:
            self._end(task, TaskStatus.CANCELLED, now, reason=self.job.stopping)
        elif reason is Reason.WORKER_STOPPED and rules.retry_on_lost:
            task.stops += 1
            self._again(task, reason, now, avoids=task.avoids)
        elif retry.again_after_loss(rules, crashes=task.crashes + 1):
            task.crashes += 1
            self._again(task, reason, now, avoids=task.avoiding(worker_id))
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
        """End the task and apply the consequences: queue or skip dependent tasks, close the job."""
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
            task.detail = detail  # `_note_doings` set it at the job's time limit
        self.changed.add(task.id)
        self._say(ending(self.job.id, task), now)

    def _stop(self, reason: Reason, now: datetime) -> None:
        self.job.stopping, self.job_changed = reason, True
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
        """Store what each task is doing or waiting for at the job's time limit."""
        doings = []
        for task in self.tasks.values():
            if task.status in _ACTIVE:
                task.detail = doing(task, now)
                self.changed.add(task.id)
                doings.append(f"step {task.name} {task.detail}")
        self.job.detail = waiting.summed_up(self.job.started_at is not None, doings)

    def _job_runs(self, since: datetime, now: datetime) -> None:
        if self.job.status is JobStatus.PENDING:
            self.job.status = JOB.advance(self.job.status, JobStatus.RUNNING)
            self.job.started_at, self.job_changed = since, True
            self._say(JobStarted(job_id=self.job.id), now)

    def _close_if_done(self, now: datetime) -> None:
        job = self.job
        if self._count_open() or JOB.is_final(job.status):
            return
        status, reason, cause = outcome(self.tasks.values(), job.stopping)
        job.status = JOB.advance(job.status, status)
        job.reason, job.finished_at = reason, now
        if reason is not Reason.JOB_TIMEOUT:
            job.detail = f"step {cause.name}: {cause.detail}" if cause is not None and cause.detail else None
        self.job_changed = True
        self._say(job_ending(job, now), now)

    def _ready(self, task: TaskState) -> bool:
        if not task.rules.depends_on:
            return True
        self._dependants(task)
        return all(self._names[name].satisfied for name in task.rules.depends_on)

    def _dependants(self, task: TaskState) -> list[str]:
        if self._after is None:
            self._names = {one.name: one for one in self.tasks.values()}
            self._after = dependants({one.name: one.rules.depends_on for one in self.tasks.values()})
        return self._after.get(task.name, [])

    def _count_open(self) -> int:
        if self._open < 0:
            self._open = sum(task.status not in TASK.final for task in self.tasks.values())
        return self._open

    def _say(self, event: EventData, now: datetime) -> None:
        self.journal.append(Entry(event, now))

    def _observe(self, event: EventData, now: datetime) -> None:
        self.journal.append(Entry(event, now, observed=True))
