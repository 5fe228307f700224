"""The attempts in the leader's memory: how arrivals, cancellations, outcomes, give-backs and losses change them.

An attempt is identified by task and attempt number, and the higher number wins. Events of attempts that are not in
memory are settled in the tables (`Record.finished`, `Record.cancelled`). Workers and their leases are in `leases`.
"""

from collections import OrderedDict
from collections.abc import Iterable
from sys import intern
from typing import Final, Literal

from scheduler.domain.changes import Record, Totals, named
from scheduler.domain.model import Moment, Outcome, Shape, StepFields, Task, TaskState
from scheduler.domain.priorities import JobPriority, Priorities
from scheduler.domain.queue import Queue
from scheduler.domain.roster import Roster
from schemas.events import (
    ExecutionCancelRequested,
    ExecutionFinished,
    ExecutionLost,
    ExecutionReturned,
    TaskCancelRequested,
    TaskExpired,
    TaskQueued,
    TaskWithdrawn,
)
from schemas.specs import PRIORITY_RANK
from schemas.states import Reason

MAX_ENDED: Final = 20_000
"""Executions that are remembered after their end, because heartbeats may still list them for a moment."""

LostReason = Literal[Reason.LOST, Reason.WORKER_STOPPED]


class Attempts:
    """The latest known attempt of each task that waits or is placed."""

    def __init__(self, queue: Queue, roster: Roster, record: Record, totals: Totals, priorities: Priorities) -> None:
        self._queue = queue
        self._roster = roster
        self._record = record
        self._totals = totals
        self._priorities = priorities
        self.tasks: dict[str, Task] = {}
        self.ended: OrderedDict[str, None] = OrderedDict()
        """The executions that ended most recently."""

    def restore(self, task: Task, now: Moment) -> None:
        """Add an attempt that was read from the tables."""
        task.stored = True
        self.tasks[task.task_id] = task
        worker = self._roster.get(task.worker_id) if task.worker_id is not None else None
        if task.state is TaskState.WAITING:
            self._queue.add(task, now.wall)
        elif worker is not None and worker.incarnation == task.incarnation:
            task.worker_name = worker.name
            self._roster.occupy(worker, task)
        else:
            self.lose(task, now, "its worker is no longer known")

    def arrive(self, event: TaskQueued, now: Moment, *, traceparent: str | None = None) -> None:
        """Queue a task, which may run now or from its `run_at` on. Its events carry the trace context `traceparent`."""
        if (changed := JobPriority.of(event)) is not None:
            self.reprioritize([changed], now)
        known = self.tasks.get(event.task_id)
        if known is not None:
            if known.attempt >= event.attempt:
                self._totals.stale += known.attempt > event.attempt
                return
            self._supersede(known)
        elif self._record.has_ended(event.task_id, event.attempt):
            self._totals.stale += 1
            return
        else:
            self._record.drop_withdrawal(event.task_id)
        step = StepFields.of(event)
        task = Task(
            task_id=event.task_id,
            job_id=event.job_id,
            attempt=event.attempt,
            name=intern(event.name),
            priority=self._priorities.rank(event.job_id, PRIORITY_RANK[event.priority]),
            shape=Shape.of(step),
            step=step,
            queued_at=event.queued_at,
            ready_at=event.queued_at if event.run_at is None else max(event.queued_at, event.run_at),
            run_at=event.run_at,
            queue_deadline=event.queue_deadline,
            wanted_execution_id=event.execution_id,
            shuns=tuple(event.avoid_worker_ids) or ((event.avoid_worker_id,) if event.avoid_worker_id else ()),
            traceparent=traceparent,
        )
        self.tasks[task.task_id] = task
        self._record.task(task)
        self._record.run(task.task_id, event.run)
        self._queue.add(task, now.wall)
        if task.run_at is not None or task.queue_deadline is not None or task.shuns:
            self._totals.timers += 1

    def reprioritize(self, changes: Iterable[JobPriority], now: Moment) -> None:
        """Give the tasks of jobs their new priorities: those that wait, and those that may be given back."""
        news = self._priorities.learn(changes)
        if not news:
            return
        for change in news.values():
            self._record.priority(change)
        for task in self.tasks.values():
            new = news.get(task.job_id)
            if new is not None and new.rank != task.priority:
                self._queue.reprioritize(task, new.rank, now.wall)
                self._record.task(task)

    def cancel(self, event: TaskCancelRequested) -> None:
        """Withdraw a waiting task, or have its execution stopped. An unknown attempt is settled in the tables."""
        task = self._current(event.task_id, event.attempt)
        if task is None and self._record.has_ended(event.task_id, event.attempt):
            self._totals.stale += 1
        elif task is None:
            self._record.cancelled(event)
        elif task.attempt > event.attempt:
            self._totals.stale += 1
        elif task.state is TaskState.WAITING:
            self._withdraw(task, event)
        elif task.state is TaskState.PLACED and task.cancel_reason is None:
            task.cancel_reason = event.reason
            self._record.task(task)
            self._record.emit(
                ExecutionCancelRequested(
                    execution_id=named(task.execution_id),
                    task_id=task.task_id,
                    job_id=task.job_id,
                    attempt=task.attempt,
                    worker_id=named(task.worker_id),
                    reason=event.reason,
                )
            )

    def is_foreign(self, event: ExecutionFinished | ExecutionReturned) -> bool:
        """Whether the execution of an agent's report is placed on another worker."""
        task = self.tasks.get(event.task_id)
        return (
            task is not None
            and task.state is TaskState.PLACED
            and task.execution_id == event.execution_id
            and task.worker_id != event.worker_id
        )

    def report(self, event: ExecutionFinished) -> None:
        """Like `finish`, for the outcome that an agent reports. It counts for an attempt that is placed, of which the
        memory has all: an outcome of any other attempt comes late, and must not end an attempt that is still to come.
        """
        if self._placed(event) is None:
            self._totals.stale += 1
        else:
            self.finish(event)

    def _placed(self, event: ExecutionFinished | ExecutionReturned) -> Task | None:
        """The task of a report, if the report is about its current execution, and of the worker that has it."""
        task = self.tasks.get(event.task_id)
        if (
            task is None
            or task.state is not TaskState.PLACED
            or (task.attempt, task.execution_id, task.worker_id) != (event.attempt, event.execution_id, event.worker_id)
        ):
            return None
        return task

    def finish(self, event: ExecutionFinished) -> None:
        """End an attempt by the outcome of its execution, and free its slot and resources."""
        task = self._current(event.task_id, event.attempt)
        if task is None and self._record.has_ended(event.task_id, event.attempt):
            self._totals.stale += 1
        elif task is None:
            self._record.finished(event)
        elif task.execution_id == event.execution_id and task.state is TaskState.PLACED:
            self.leave_worker(task)
            task.report = event
            self._end(task, Outcome(event.status.value))
        else:
            self._totals.stale += 1

    def expire(self, now: Moment) -> None:
        """End the attempts whose queue deadline has passed."""
        for task in self._queue.overdue(now.wall):
            self._queue.remove(task)
            self._end(task, Outcome.EXPIRED)
            self._record.emit(TaskExpired(task_id=task.task_id, job_id=task.job_id, attempt=task.attempt))

    def give_back(self, event: ExecutionReturned, now: Moment) -> None:
        """Queue an attempt again that its worker returned before it began; another worker is preferred."""
        task = self._placed(event)
        if task is None:
            self._totals.stale += 1
            return
        self.leave_worker(task)
        if (worker := self._roster.get(event.worker_id)) is not None and worker.incarnation == event.incarnation:
            worker.prefetch = 0  # its last offer is out of date; the next heartbeat or offer has the new one
            self._roster.touch(worker)
        if task.cancel_reason is not None:
            self._end(task, Outcome.WITHDRAWN)
            self._record.emit(
                TaskWithdrawn(task_id=task.task_id, job_id=task.job_id, attempt=task.attempt, reason=task.cancel_reason)
            )
            return
        task.state = TaskState.WAITING
        task.execution_id = task.worker_id = task.worker_name = task.incarnation = None
        task.placed_at = task.wanted_execution_id = None
        task.avoid_worker_id = event.worker_id
        self._record.task(task)
        self._queue.add(task, now.wall)

    def refused(self, task: Task) -> None:
        """Drop an attempt that the tables refused: according to them it is over."""
        self.tasks.pop(task.task_id, None)
        self._queue.remove(task)
        if task.worker_id is not None and task.execution_id is not None:
            self._roster.release(task.worker_id, task.execution_id)
        self._totals.stale += 1

    def _current(self, task_id: str, attempt: int) -> Task | None:
        """The task in memory, or None if it is unknown or its attempt is older than the given one."""
        task = self.tasks.get(task_id)
        if task is not None and task.attempt < attempt:
            self._supersede(task)
            del self.tasks[task_id]
            return None
        return task

    def _supersede(self, task: Task) -> None:
        """End an attempt because a later one exists. Its row becomes the later one's."""
        self._queue.remove(task)
        if task.state is TaskState.PLACED:
            self.leave_worker(task)
        self._record.superseded(task.task_id)

    def _withdraw(self, task: Task, event: TaskCancelRequested) -> None:
        self._queue.remove(task)
        self._end(task, Outcome.WITHDRAWN)
        self._record.emit(
            TaskWithdrawn(task_id=task.task_id, job_id=task.job_id, attempt=task.attempt, reason=event.reason)
        )

    def _end(self, task: Task, outcome: Outcome) -> None:
        task.state, task.outcome = TaskState.DONE, outcome
        self._record.ended(task)
        self.tasks.pop(task.task_id, None)

    def leave_worker(self, task: Task) -> None:
        """Free the slot and resources of the task's execution."""
        execution_id = named(task.execution_id)
        self._roster.release(named(task.worker_id), execution_id)
        self.ended[execution_id] = None
        if len(self.ended) > MAX_ENDED:
            self.ended.popitem(last=False)

    def lose(self, task: Task, now: Moment, detail: str, *, reason: LostReason = Reason.LOST) -> None:
        """End an attempt whose execution was lost. The caller has freed its slot and resources."""
        task.report = ExecutionLost(
            execution_id=named(task.execution_id),
            task_id=task.task_id,
            job_id=task.job_id,
            attempt=task.attempt,
            worker_id=named(task.worker_id),
            worker_name=task.worker_name,
            incarnation=named(task.incarnation),
            labels=task.labels,
            reason=reason,
            detail=detail,
            lost_at=now.wall,
        )
        self._record.emit(task.report)
        self._end(task, Outcome.LOST)
