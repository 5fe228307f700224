"""The elementary changes of a job: a task is queued, retried, halted or ended, with all that follows from it. Pure.

`orchestrator.domain.run` says when they happen.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from orchestrator.domain.conditions import Budget, ConditionError, evaluate
from orchestrator.domain.definition import StepRules
from orchestrator.domain.flow import DECISIONS
from orchestrator.domain.orders import Commands, Entry, Orders, Queued
from orchestrator.domain.outcome import ending, job_ending, outcome, schedule_finished
from orchestrator.domain.state import JobState, TaskState
from orchestrator.domain.steps import ACTIVE, Step, Steps
from orchestrator.domain.views import Views, values_of, views_of
from schemas.events import EventData, JobStarted, TaskApprovalRequested, TaskCancelRequested, TaskRetrying
from schemas.states import JOB, TASK, JobStatus, Reason, TaskStatus
from schemas.steps import Approval

_EXPLAINED: Final = frozenset({Reason.JOB_TIMEOUT, Reason.SUPERSEDED, Reason.CONCURRENCY_LIMIT})
"""The reasons of a job whose detail was set when it was stopped."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a task ends that does not run."""

    status: TaskStatus
    reason: Reason
    detail: str | None = None


@dataclass(slots=True)
class JobMoves:
    """A job and its tasks by id, and the changes that are not written yet. `draw` returns the random numbers for
    retries, in [0, 1)."""

    job: JobState
    tasks: Mapping[str, TaskState]
    draw: Callable[[], float]
    journal: list[Entry] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    """Ids of the tasks to write."""
    job_changed: bool = False
    due_changed: bool = False
    """Whether `due_at` of the job changed."""
    reprioritized: bool = False
    """Whether its priority changed."""
    replaced: dict[str, str] = field(default_factory=dict)
    """By id of a task that was placed again within one attempt: the execution that counts now."""
    emptied: set[str] = field(default_factory=set)
    """Ids of tasks that the scheduler took back. Their executions that never began are closed."""
    late: set[str] = field(default_factory=set)
    """Ids of executions whose placement was reported after their task had moved on: those that still run are closed."""
    stale: int = 0
    queued_before: dict[str, datetime | None] = field(default_factory=dict)
    """For a job with a trace, by task id: since when the task's attempt had waited or run when the job was loaded."""
    _budget: Budget = field(default_factory=Budget)
    _steps: Steps | None = None
    _open: int = -1
    _asking: int = -1
    """How many approvals wait for a decision, once that was needed; -1 until then."""
    _due_noted: bool = False
    """Whether `due_at` of the job has to be found again."""

    @property
    def ordered(self) -> list[str]:
        """The ids of the tasks with orders in the journal: `events` needs their commands."""
        return [entry.event.task_id for entry in self.journal if isinstance(entry.event, Queued)]

    def events(self, commands: Commands) -> Iterator[EventData]:
        """The events to emit, in order. Raises KeyError for an order whose task has no command."""
        job = self.job
        orders = Orders(job.id, job.name, job.priority, job.priority_changes, job.tracestate, commands.env)
        for entry in self.journal:
            if isinstance(entry.event, Queued):
                queued = entry.event
                rules = self.tasks[queued.task_id].rules
                yield orders.order(rules, commands.of(queued.task_id, queued.attempt), queued)
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
        self.job_changed, self.due_changed, self.reprioritized, self.stale = False, False, False, 0
        self._budget = Budget()

    # ------------------------------------------------------------------ questions

    @property
    def steps(self) -> Steps:
        """The steps of the job."""
        if self._steps is None:
            self._steps = Steps(self.tasks.values())
        return self._steps

    def halted(self, task: TaskState) -> Reason | None:
        """Why this task must not go on: its job is being stopped, or another task of its matrix failed."""
        if self.job.stopping is not None and not self._goes_on(task.rules):
            return self.job.stopping
        if task.rules.index is not None and self.steps.of(task).failed_fast:
            return Reason.FAIL_FAST
        return None

    @property
    def postponed(self) -> list[Step]:
        """The approvals that wait for nothing but the job's `run_at`."""
        if self.job.run_at is None:
            return []
        return [step for step in self.steps if step.rules.approval is not None and step.ready and step.pending]

    # ------------------------------------------------------------------ moves

    def decide(self, steps: Iterable[Step], now: datetime) -> None:
        """Queue or skip the tasks of steps that are ready, and decide the steps that become ready by this."""
        ready = list(steps)
        if not ready:
            return
        views = views_of(self.steps)  # the outputs of a large matrix take long to put together
        for step in ready:  # grows while it is read
            verdict = self._verdict(step, views)
            if verdict is None:
                self._start(step, now)
            else:
                for task in step.pending:
                    ready += self._set_final(task, verdict.status, now, reason=verdict.reason, detail=verdict.detail)

    def again(
        self,
        task: TaskState,
        reason: Reason,
        now: datetime,
        *,
        run_at: datetime | None = None,
        avoids: tuple[str, ...],
    ) -> None:
        """Queue the task's next attempt."""
        task.attempt += 1
        task.avoids = avoids
        task.exit_code = task.outputs = task.started_at = task.execution_id = task.worker_id = None
        retrying = TaskRetrying(
            task_id=task.id,
            job_id=self.job.id,
            attempt=task.attempt,
            name=task.name,
            matrix=task.matrix,
            index=task.rules.index,
            reason=reason,
            run_at=run_at,
        )
        self.say(retrying, now)
        self._queue(task, now, run_at=run_at)

    def halt(self, task: TaskState, reason: Reason, now: datetime) -> None:
        """Cancel a task that waits for others, and request the end of one that is on its way. What depends on it is
        decided."""
        if task.status is TaskStatus.PENDING or task.asks:
            self.decide(self._set_final(task, TaskStatus.CANCELLED, now, reason=reason), now)
        elif task.status in ACTIVE:
            request = TaskCancelRequested(task_id=task.id, job_id=self.job.id, attempt=task.attempt, reason=reason)
            self.say(request, now)

    def end(
        self,
        task: TaskState,
        status: TaskStatus,
        now: datetime,
        *,
        reason: Reason | None = None,
        detail: str | None = None,
        at: datetime | None = None,
    ) -> None:
        """End the task and apply the consequences: halt the other tasks of its matrix or start the next, decide the
        steps that depend on it, close the job."""
        step = self.steps.of(task)
        failed_before = step.failed_fast
        ready = self._set_final(task, status, now, reason=reason, detail=detail, at=at)
        if step.failed_fast and not failed_before and self.halted(task) is Reason.FAIL_FAST:
            for other in step.tasks:
                self.halt(other, Reason.FAIL_FAST, now)
        elif step.open and self.halted(task) is None:
            self._start(step, now)
        self.decide(ready, now)
        self.close_if_done(now)

    def job_runs(self, since: datetime, now: datetime) -> None:
        """Note that the job's first process started at `since`."""
        if self.job.status is JobStatus.PENDING:
            self.job.status = JOB.advance(self.job.status, JobStatus.RUNNING)
            self.job.started_at, self.job_changed = since, True
            self.say(JobStarted(job_id=self.job.id), now)

    def close_if_done(self, now: datetime) -> None:
        """End the job if all its tasks have ended."""
        job = self.job
        if self._count_open() or JOB.is_final(job.status):
            return
        status, reason, cause = outcome(self.tasks.values(), job.stopping, early=job.cleaning_up or job.waits)
        job.status = JOB.advance(job.status, status)
        job.reason, job.finished_at = reason, now
        if reason not in _EXPLAINED:
            job.detail = f"step {cause.title}: {cause.detail}" if cause is not None and cause.detail else None
        self.job_changed = True
        self.say(job_ending(job, now), now)
        if (finished := schedule_finished(job, now)) is not None:
            self.say(finished, now)

    def say(self, event: EventData, now: datetime) -> None:
        """Emit an event with this change."""
        self.journal.append(Entry(event, now))

    def observe(self, event: EventData, now: datetime) -> None:
        """Note an event of another service for the timeline."""
        self.journal.append(Entry(event, now, observed=True))

    def _verdict(self, step: Step, views: Views) -> Verdict | None:
        """How a step that is ready ends without running; None if it runs. Steps in `views` are over for good."""
        if self.job.stopping is None:
            skipped = DECISIONS[step.rules.when][step.upstream]
            if skipped is not None:
                return Verdict(TaskStatus.SKIPPED, skipped)
        elif (halted := self._without_clean_up(step)) is not None:
            return Verdict(TaskStatus.CANCELLED, halted)
        if step.rules.condition is None:
            return None
        try:
            holds = evaluate(step.rules.condition, values_of(self.job, step.rules, 1, views), self._budget)
        except ConditionError as error:
            return Verdict(TaskStatus.FAILED, Reason.BAD_CONDITION, str(error))
        return None if holds else Verdict(TaskStatus.SKIPPED, Reason.CONDITION)

    def _without_clean_up(self, step: Step) -> Reason | None:
        """Why a step that is ready does not run in a job that is being stopped; None for clean-up."""
        began = self.job.status is JobStatus.RUNNING  # clean-up after nothing is not needed
        return None if began and self._goes_on(step.rules) else self.job.stopping

    def _goes_on(self, rules: StepRules) -> bool:
        """Whether a step of these rules goes on while the job is being stopped."""
        return rules.cleans_up and self.job.cleaning_up

    def _start(self, step: Step, now: datetime) -> None:
        if step.rules.approval is not None and self.job.starts_after(now):
            self.note_due()  # it is asked then
            return
        for task in step.startable():
            if task.rules.approval is None:
                self._queue(task, now)
            else:
                self._ask(task, task.rules.approval, now)

    def _ask(self, task: TaskState, approval: Approval, now: datetime) -> None:
        """Begin an approval: it runs nothing, and the job's time stands still until it is decided."""
        self.steps.started(task)
        task.status = TASK.advance(task.status, TaskStatus.RUNNING)
        task.started_at = now
        self.changed.add(task.id)
        requested = TaskApprovalRequested(
            task_id=task.id,
            job_id=self.job.id,
            attempt=task.attempt,
            name=task.name,
            message=approval.message,
            deadline=task.decide_by,
            inputs=approval.inputs or None,
        )
        self.say(requested, now)
        self.job_runs(now, now)
        self._count_asking(1)
        if self.job.stopping is None and self.job.deadline is not None:
            self.job.time_left, self.job.deadline = self.job.deadline - now, None
        self.note_due()

    def _resume_time(self, now: datetime) -> None:
        """Let the job's time go on if the approval that ended was the last that waited."""
        if not self._count_asking(-1) and self.job.time_left is not None:
            self.job.deadline, self.job.time_left = now + self.job.time_left, None
        self.note_due()

    def _count_asking(self, change: int) -> int:
        """How many approvals wait, after one began (1) or ended (-1)."""
        if self._asking < 0:
            self._asking = sum(task.asks for task in self.tasks.values())
        else:
            self._asking += change
        return self._asking

    def note_due(self) -> None:
        """Note that a deadline changed, or an approval began or ended."""
        self._due_noted = self.job_changed = self.due_changed = True

    def find_due(self) -> None:
        """Find when something is due next, if that was noted to have changed. It looks at all tasks, so that it is
        called once for each request, deadline or report."""
        if not self._due_noted:
            return
        self._due_noted = False
        moments = [self.job.deadline, *(task.decide_by for task in self.tasks.values())]
        if self.postponed:
            moments.append(self.job.run_at)
        self.job.due_at = min((moment for moment in moments if moment is not None), default=None)

    def _queue(self, task: TaskState, now: datetime, *, run_at: datetime | None = None) -> None:
        if task.status is TaskStatus.PENDING:
            self.steps.started(task)
        elif task.asks:
            self._asking = -1  # a report was sent for an approval, which no agent should do
        task.status = TASK.advance(task.status, TaskStatus.QUEUED)
        run_at = self.job.run_at if self.job.starts_after(now) else run_at
        task.queued_at, task.run_at = now, run_at
        self.changed.add(task.id)
        queued = Queued(task.id, task.attempt, now, run_at, task.avoids, task.execution_id)
        self.journal.append(Entry(queued, now))

    def _set_final(
        self,
        task: TaskState,
        status: TaskStatus,
        now: datetime,
        *,
        reason: Reason | None = None,
        detail: str | None = None,
        at: datetime | None = None,
    ) -> list[Step]:
        """End the task. Returns the steps that became ready by this."""
        still_open, before, asked = self._count_open(), task.status, task.asks
        steps = self.steps  # counts the task as open
        task.status = TASK.advance(task.status, status)
        self._open = still_open - 1
        task.reason, task.finished_at = reason, at or now
        if status is not TaskStatus.CANCELLED or reason is not Reason.JOB_TIMEOUT:
            task.detail = detail  # it was set at the job's time limit
        self.changed.add(task.id)
        self.say(ending(self.job.id, task), now)
        if asked:
            self._resume_time(now)
        return steps.ended(task, before)

    def _count_open(self) -> int:
        if self._open < 0:
            self._open = sum(task.status not in TASK.final for task in self.tasks.values())
        return self._open
