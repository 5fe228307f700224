"""`JobRun`: one job with its tasks, and the changes that requests, deadlines and reports cause in it.

Reports are events of the bus. They come late, twice, out of order, or for an attempt that ended long ago; a report that
no longer fits changes nothing and is counted in `stale`. The changes are then in `changed`, `job_changed` and `journal`
(`orchestrator.domain.moves`); `orchestrator.unit_of_work` writes them and emits `events`. `schemas.states` has the
legal transitions. The caller passes the time and the random numbers. Pure.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from orchestrator.domain import retry, waiting
from orchestrator.domain.concurrency import ClaimState
from orchestrator.domain.moves import JobMoves
from orchestrator.domain.outcome import doing, waited
from orchestrator.domain.parameters import resolved_inputs
from orchestrator.domain.state import TaskState
from orchestrator.domain.steps import ACTIVE
from schemas.access import Actor
from schemas.events import (
    ExecutionFinished,
    ExecutionLost,
    ExecutionStarted,
    JobAdmitted,
    JobCancelRequested,
    JobReprioritized,
    JobWaiting,
    TaskApproved,
    TaskExpired,
    TaskRejected,
    TaskScheduled,
    TaskWithdrawn,
)
from schemas.params import as_text
from schemas.specs import Priority
from schemas.states import JOB, TASK, ExecutionStatus, IllegalTransition, JobStatus, Reason, TaskStatus
from schemas.steps import Decision

TaskReport = TaskScheduled | TaskExpired | TaskWithdrawn | ExecutionStarted | ExecutionFinished | ExecutionLost


class NotAsked(ValueError):
    """The task is not an approval that waits for a decision; the message says what it is."""

    def __init__(self, task: TaskState) -> None:
        super().__init__(_not_asked(task))


@dataclass(slots=True)
class JobRun(JobMoves):
    """A job and its tasks by id. `draw` returns the random numbers for retries, in [0, 1)."""

    # ------------------------------------------------------------------ requests and deadlines

    def begin(self, now: datetime) -> None:
        """Decide every step that depends on no other. A job without open tasks succeeds at once."""
        self.decide([step for step in self.steps if step.ready and step.open], now)
        self.close_if_done(now)
        self.find_due()

    def wait(self, why: str, now: datetime) -> None:
        """Note that a job that has not begun waits for its concurrency key."""
        self.say(JobWaiting(job_id=self.job.id, concurrency_key=self.job.concurrency_key, detail=why), now)

    def admit(self, now: datetime) -> None:
        """Begin a job that waited for its concurrency key. Its time runs from now on. Raises IllegalTransition if it
        does not wait, or has ended."""
        job = self.job
        if not job.waits or JOB.is_final(job.status):
            raise IllegalTransition(JOB.name, job.status, JobStatus.RUNNING)
        job.claim = ClaimState.HELD
        if job.time_left is not None:
            job.deadline, job.time_left = now + job.time_left, None
            self.note_due()
        self.say(JobAdmitted(job_id=job.id, concurrency_key=job.concurrency_key), now)
        self.begin(now)

    def drop(self, reason: Reason, detail: str | None, now: datetime, *, by: Actor | None = None) -> None:
        """Stop a job because of its concurrency key, unless it is being stopped already or has ended. `by` submitted
        the job that takes its place."""
        if JOB.is_final(self.job.status) or self.job.stopping is not None:
            return
        self.job.detail, self.job.cancelled_by = detail, by
        self.say(JobCancelRequested(job_id=self.job.id, reason=reason, detail=detail, cancelled_by=by), now)
        self._stop(reason, now)
        self.find_due()

    def cancel(self, now: datetime, *, by: Actor | None = None) -> None:
        """Stop every task that runs or waits, and let the `always` steps clean up. A second call ends them as well, and
        repeats the requests. Raises IllegalTransition if the job has ended."""
        if JOB.is_final(self.job.status):
            raise IllegalTransition(JOB.name, self.job.status, JobStatus.CANCELLED)
        if self.job.stopping is None or self.job.cleaning_up:
            self.say(JobCancelRequested(job_id=self.job.id, cancelled_by=by), now)
        if self.job.stopping is None:
            self.job.cancelled_by = by
            self._stop(Reason.CANCELLED, now)
        else:
            self._end_clean_up(Reason.CANCELLED if self.job.cleaning_up else self.job.stopping, now)
        self.find_due()

    def prioritize(self, priority: Priority, now: datetime, *, by: Actor | None = None) -> None:
        """Give the job another priority: its tasks that wait get it from the event, later ones from their orders.
        Does nothing if it has this priority. Raises IllegalTransition if the job has ended."""
        job = self.job
        if JOB.is_final(job.status):
            raise IllegalTransition(JOB.name, job.status, job.status)
        if job.priority == priority:
            return
        previous, job.priority = job.priority, priority
        job.priority_changes += 1
        self.job_changed = self.reprioritized = True
        changed = JobReprioritized(
            job_id=job.id,
            priority=priority,
            previous=previous,
            priority_changes=job.priority_changes,
            changed_by=by,
        )
        self.say(changed, now)

    def due(self, now: datetime) -> bool:
        """Ask the approvals that waited for `run_at`, fail those that were not decided in time, and stop the job at its
        time limit, or its clean-up at the limit of that. Returns False, and changes nothing, if none of this is due."""
        if JOB.is_final(self.job.status) or self.job.due_at is None or self.job.due_at > now:
            return False
        self._all_due(now)
        self.find_due()
        return True

    def _all_due(self, now: datetime) -> None:
        """Ask, fail and stop what is due."""
        if not self.job.starts_after(now) and (postponed := self.postponed):
            self.decide(postponed, now)
            self.note_due()
        for task in list(self.tasks.values()):
            if task.decide_by is not None and task.decide_by <= now:
                took = waiting.in_seconds(waiting.since(task.started_at, task.decide_by))
                detail = f"it was not decided within {took}"
                self.end(task, TaskStatus.FAILED, now, reason=Reason.TIMEOUT, detail=detail)
        if self.job.deadline is None or self.job.deadline > now or JOB.is_final(self.job.status):
            return
        if self.job.stopping is None:
            self._stop(Reason.JOB_TIMEOUT, now)
        else:
            self._end_clean_up(Reason.CLEANUP_TIMEOUT, now)

    def settle(self, task_id: str, decision: Decision, now: datetime) -> None:
        """Approve or reject an approval. The inputs of an approval become its outputs. Raises NotAsked unless it waits
        for a decision, and InvalidParameters if the inputs are not as declared; a rejection has none."""
        task = self.tasks[task_id]
        if (approval := task.rules.approval) is None or not task.asks:
            raise NotAsked(task)
        inputs = resolved_inputs(approval.inputs, decision.inputs) if decision.approved else {}
        task.decision = decision = decision.model_copy(update={"inputs": inputs})
        task.outputs = {name: as_text(value) for name, value in inputs.items()} or None
        said = {"by": decision.by, "comment": decision.comment, "decided_by": decision.decided_by}
        ids = {"task_id": task.id, "job_id": self.job.id, "attempt": task.attempt, "name": task.name}
        if decision.approved:
            self.say(TaskApproved.model_validate({**ids, **said, "inputs": inputs or None}), now)
            self.end(task, TaskStatus.SUCCEEDED, now)
        else:
            self.say(TaskRejected.model_validate({**ids, **said}), now)
            by = f" by {decision.who}" if decision.who else ""
            why = f": {decision.comment}" if decision.comment else ""
            self.end(task, TaskStatus.FAILED, now, reason=Reason.REJECTED, detail=f"rejected{by}{why}")
        self.find_due()

    def refuse(
        self, task_id: str, attempt: int, now: datetime, *, reason: Reason = Reason.TOO_LARGE, detail: str | None = None
    ) -> None:
        """Fail a task for which no order of this attempt can be made. By default, its order is larger than the bus
        takes."""
        task = self.tasks.get(task_id)
        if task is None or task.attempt != attempt or task.status is not TaskStatus.QUEUED:
            self.stale += 1
        elif (halted := self.halted(task)) is not None:
            self.end(task, TaskStatus.CANCELLED, now, reason=halted)
        else:
            self.end(task, TaskStatus.FAILED, now, reason=reason, detail=detail or _too_large(task))
        self.find_due()

    def _stop(self, reason: Reason, now: datetime) -> None:
        """End all that is open but clean-up, which gets a deadline of its own."""
        self.job.stopping, self.job_changed = reason, True
        self.job.deadline = now + timedelta(seconds=self.job.cleanup_timeout)
        self.job.time_left = None
        if reason is Reason.JOB_TIMEOUT:
            self._note_doings(now)
        self._halt_all(reason, now)
        self.decide(self.postponed, now)
        if not any(task.cleans_up and task.status not in TASK.final for task in self.tasks.values()):
            self.job.deadline = None
        self.note_due()
        self.close_if_done(now)

    def _end_clean_up(self, reason: Reason, now: datetime) -> None:
        self.job.deadline = None
        self.note_due()
        self._halt_all(reason, now)
        self.close_if_done(now)

    def _halt_all(self, reason: Reason, now: datetime) -> None:
        for task in self.tasks.values():
            if self.halted(task) is not None:
                self.halt(task, reason, now)

    def _note_doings(self, now: datetime) -> None:
        """Store what each task is doing or waiting for at the job's time limit."""
        doings = []
        for task in self.tasks.values():
            if task.status in ACTIVE:
                task.detail = doing(task, now)
                self.changed.add(task.id)
                doings.append(f"step {task.title} {task.detail}")
        self.job.detail = waiting.summed_up(self.job.started_at is not None, doings)

    # ------------------------------------------------------------------ reports

    def apply(self, report: TaskReport, now: datetime) -> None:
        """Apply one report, unless it is stale."""
        task = self.tasks.get(report.task_id)
        if task is None or report.attempt != task.attempt or task.status not in ACTIVE:
            self.stale += 1
            if task is not None and isinstance(report, TaskScheduled):
                self._placed_late(task, report)
            return
        self._apply(task, report, now)
        self.find_due()

    def _apply(self, task: TaskState, report: TaskReport, now: datetime) -> None:
        match report:
            case TaskScheduled():
                self._scheduled(task, report, now)
            case ExecutionStarted():
                self._started(task, report, now)
            case ExecutionFinished():
                self._finished(task, report, now)
            case ExecutionLost():
                self.observe(report, now)
                self._replace(task, report.execution_id)
                self._lost(task, report.worker_id, now, reason=report.reason, detail=report.detail)
            case TaskExpired():
                self.observe(report, now)
                self.emptied.add(task.id)
                if (halted := self.halted(task)) is not None:
                    self.end(task, TaskStatus.CANCELLED, now, reason=halted)
                else:
                    self.end(task, TaskStatus.FAILED, now, reason=Reason.QUEUE_TIMEOUT, detail=waited(task, now))
            case TaskWithdrawn():
                self.observe(report, now)
                self.emptied.add(task.id)
                self.end(task, TaskStatus.CANCELLED, now, reason=self._why_cancelled(task, report.reason))
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
        task.execution_id, task.worker_id = report.execution_id, report.worker_id
        self.changed.add(task.id)
        self.observe(report, now)

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
        task.execution_id, task.worker_id = report.execution_id, report.worker_id
        self.changed.add(task.id)
        self.observe(report, now)
        self.job_runs(report.started_at, now)

    def _finished(self, task: TaskState, report: ExecutionFinished, now: datetime) -> None:
        self.observe(report, now)
        self._replace(task, report.execution_id)
        task.execution_id, task.worker_id = report.execution_id, report.worker_id
        if report.started_at is not None:
            task.started_at = report.started_at
            self.job_runs(report.started_at, now)
        task.exit_code, task.outputs = report.exit_code, report.outputs
        match report.status:
            case ExecutionStatus.SUCCEEDED:
                self.end(task, TaskStatus.SUCCEEDED, now, at=report.finished_at)
            case ExecutionStatus.CANCELLED:
                if report.reason in (Reason.FENCED, Reason.RETURNED) and self.halted(task) is None:
                    # The worker was told that this attempt no longer counts, so the attempt is treated as lost.
                    self._lost(task, report.worker_id, now)
                    return
                reason = self._why_cancelled(task, report.reason)
                self.end(task, TaskStatus.CANCELLED, now, reason=reason, at=report.finished_at)
            case ExecutionStatus.FAILED:
                self._failed(task, report, report.reason or Reason.EXIT_CODE, now)
            case ExecutionStatus.TIMED_OUT:
                self._failed(task, report, report.reason or Reason.TIMEOUT, now)
            case _:
                assert_never(report.status)

    def _why_cancelled(self, task: TaskState, reported: Reason | None) -> Reason:
        """The reason of a cancelled task. Workers report the reason of the request; those of a job's own are exact."""
        if task.cleans_up and reported is not None:
            return reported  # the job has a reason, and its clean-up another
        return self.halted(task) or reported or Reason.CANCELLED

    def _failed(self, task: TaskState, report: ExecutionFinished, reason: Reason, now: datetime) -> None:
        failures = task.attempt - task.crashes - task.stops
        rules = task.rules.retry
        again = retry.again_after_failure(rules, failures=failures, exit_code=task.exit_code)
        again = again and reason is not Reason.TOO_LARGE  # every other attempt would be too large as well
        halted = self.halted(task)
        if rules is None or not again or (self.job.stopping is not None and halted is None):  # clean-up is not retried
            self.end(task, TaskStatus.FAILED, now, reason=reason, detail=report.detail, at=report.finished_at)
        elif halted is not None:
            self.end(task, TaskStatus.CANCELLED, now, reason=halted, at=report.finished_at)
        else:
            wait = retry.delay(rules, failures, draw=self.draw())
            run_at = now + timedelta(seconds=wait) if wait else None
            self.again(task, reason, now, run_at=run_at, avoids=task.avoiding(report.worker_id))

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
        rules, task.exit_code, task.outputs = task.rules, None, None
        if (halted := self.halted(task)) is not None:
            self.end(task, TaskStatus.CANCELLED, now, reason=halted)
        elif reason is Reason.WORKER_STOPPED and rules.retry_on_lost:
            task.stops += 1
            self.again(task, reason, now, avoids=task.avoids)
        elif self.job.stopping is None and retry.again_after_loss(rules, crashes=task.crashes + 1):
            task.crashes += 1
            self.again(task, reason, now, avoids=task.avoiding(worker_id))
        else:
            self.end(task, TaskStatus.FAILED, now, reason=reason, detail=detail)


def _too_large(task: TaskState) -> str:
    if task.rules.expressions:
        return "with the values of its expressions, its order is larger than the NATS server's max_payload"
    return "its order is larger than the NATS server's max_payload, which was lowered after the submission"


def _not_asked(task: TaskState) -> str:
    if task.rules.approval is None:
        return f"step {task.name} is not an approval"
    if task.decision is not None:
        by = f" by {task.decision.who}" if task.decision.who else ""
        return f"step {task.name} was {'approved' if task.decision.approved else 'rejected'} before{by}"
    if task.status is TaskStatus.PENDING:
        return f"step {task.name} is not asked yet: it waits for other steps, or for the job's run_at"
    return f"step {task.name} is over: {task.status.value}" + (f" ({task.reason.value})" if task.reason else "")
