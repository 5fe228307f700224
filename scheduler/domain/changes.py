"""The changes of one turn of the leader: collected while the turn handles events, then written in one transaction.

Here: the record of a turn. `attempts` and `leases` decide what an event changes; the store writes it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from scheduler.domain.model import Task, TaskState
from scheduler.domain.priorities import JobPriority
from scheduler.domain.worker import KnownWorker
from schemas.events import EventData, ExecutionFinished, TaskCancelRequested, TaskScheduled, TaskWithdrawn
from schemas.specs import RunSpec


@dataclass(slots=True)
class Changes:
    """The changes of one turn, to be written in one transaction.

    `arrivals` are attempts without a row yet, which the tables may refuse, and `runs` their run specs, by task id;
    `updates` are attempts with a row; `scheduled` are the tasks of either kind that were placed. `priorities` are
    those of jobs that changed. `finished` and `cancelled` are outcomes and cancellations of attempts that are not in
    memory: the tables settle them.
    """

    arrivals: list[Task] = field(default_factory=list)
    runs: dict[str, RunSpec] = field(default_factory=dict)
    updates: list[Task] = field(default_factory=list)
    scheduled: list[Task] = field(default_factory=list)
    workers: list[KnownWorker] = field(default_factory=list)
    forgotten: list[KnownWorker] = field(default_factory=list)
    priorities: list[JobPriority] = field(default_factory=list)
    finished: list[ExecutionFinished] = field(default_factory=list)
    cancelled: list[TaskCancelRequested] = field(default_factory=list)
    events: list[EventData] = field(default_factory=list)

    def emitted(self, runs: Mapping[str, RunSpec], refused: Iterable[str] = ()) -> list[EventData]:
        """The events of the turn, with the orders to run. `runs` has the run spec of each placed task, by task id. An
        arrival that the tables `refused`, because its attempt is over according to them, has no events: it was neither
        placed nor withdrawn.
        """
        unknown = set(refused)
        orders = [order_to_run(task, runs[task.task_id]) for task in self.scheduled if task.task_id not in unknown]
        if not unknown:
            return [*self.events, *orders]
        void = {(task.task_id, task.attempt) for task in self.arrivals if task.task_id in unknown}
        return [
            *(
                event
                for event in self.events
                if (getattr(event, "task_id", ""), getattr(event, "attempt", 0)) not in void
            ),
            *orders,
        ]

    def __bool__(self) -> bool:
        return bool(
            self.arrivals
            or self.updates
            or self.workers
            or self.priorities
            or self.finished
            or self.cancelled
            or self.events
        )


@dataclass(slots=True)
class Totals:
    """The counts of a desk since it was made."""

    stale: int = 0
    """Reports of attempts that were no longer current."""
    leases_lost: int = 0
    placed: int = 0
    timers: int = 0
    """How many timed entries were added: a delay, a deadline, a lease."""


class Record:
    """Collects the changes of the current turn; `take` returns them and begins the next turn's record."""

    def __init__(self) -> None:
        self._changes = Changes()
        self._tasks: dict[str, Task] = {}
        self._placed: dict[str, Task] = {}
        self._ended: dict[str, int] = {}
        """Tasks that ended in this turn, with their latest ended attempt."""
        self._workers: dict[str, KnownWorker] = {}
        self._priorities: dict[str, JobPriority] = {}

    def take(self) -> Changes:
        """Returns the changes since the last call. The caller must write them."""
        changes, self._changes = self._changes, Changes()
        for task in self._tasks.values():
            (changes.updates if task.stored else changes.arrivals).append(task)
        changes.scheduled = [task for task in self._placed.values() if task.state is TaskState.PLACED]
        changes.workers = list(self._workers.values())
        changes.priorities = list(self._priorities.values())
        self._tasks, self._placed, self._workers, self._ended, self._priorities = {}, {}, {}, {}, {}
        return changes

    def emit(self, event: EventData) -> None:
        self._changes.events.append(event)

    def task(self, task: Task) -> None:
        """Note that the task's row must be written."""
        self._tasks[task.task_id] = task

    def run(self, task_id: str, run: RunSpec) -> None:
        """Note the run spec of an arrival."""
        self._changes.runs[task_id] = run

    def placed(self, task: Task) -> None:
        self._tasks[task.task_id] = self._placed[task.task_id] = task

    def ended(self, task: Task) -> None:
        self._tasks[task.task_id] = task
        self._ended[task.task_id] = task.attempt

    def superseded(self, task_id: str) -> None:
        """Drop an attempt from the record because a later one exists: its row becomes the later one's."""
        self._tasks.pop(task_id, None)
        self._placed.pop(task_id, None)

    def finished(self, event: ExecutionFinished) -> None:
        """Note the outcome of an attempt that is not in memory."""
        self._changes.finished.append(event)
        self._ended[event.task_id] = event.attempt

    def cancelled(self, event: TaskCancelRequested) -> None:
        """Note the cancellation of an attempt that is not in memory."""
        self._changes.cancelled.append(event)
        self._ended[event.task_id] = event.attempt

    def has_ended(self, task_id: str, attempt: int) -> bool:
        """Whether this turn has ended the attempt or a later one, which the tables do not show yet."""
        return self._ended.get(task_id, 0) >= attempt

    def drop_withdrawal(self, task_id: str) -> None:
        """Drop the event of an earlier attempt that was withdrawn in the same turn in which it and a later one arrived.

        The tables check only the later attempt, so they cannot show whether the earlier one was already over. The
        orchestrator, which made the later attempt, knows that the earlier one is over.
        """
        ended = self._tasks.get(task_id) if task_id in self._ended else None
        if ended is not None and not ended.stored:
            self._changes.events = [
                event
                for event in self._changes.events
                if not (isinstance(event, TaskWithdrawn) and (event.task_id, event.attempt) == (task_id, ended.attempt))
            ]

    def priority(self, change: JobPriority) -> None:
        """Note that the new priority of a job must be written."""
        self._priorities[change.job_id] = change

    def worker(self, worker: KnownWorker) -> None:
        """Note that the worker's row must be written."""
        self._workers[worker.id] = worker

    def removed(self, worker_id: str) -> None:
        """Note that the worker's row was deleted."""
        self._workers.pop(worker_id, None)

    def forgotten(self, worker: KnownWorker) -> None:
        """Note that the worker's row must be deleted."""
        self._workers.pop(worker.id, None)
        self._changes.forgotten.append(worker)


def order_to_run(task: Task, run: RunSpec) -> TaskScheduled:
    """The order to run a placed task."""
    if task.placed_at is None:
        raise ValueError(f"task {task.task_id} is not placed")
    return TaskScheduled(
        task_id=task.task_id,
        job_id=task.job_id,
        attempt=task.attempt,
        name=task.name,
        matrix=task.matrix,
        index=task.step.index,
        execution_id=named(task.execution_id),
        worker_id=named(task.worker_id),
        worker_name=task.worker_name,
        incarnation=named(task.incarnation),
        labels=task.labels,
        run=run,
        scheduled_at=task.placed_at,
    )


def named(id: str | None) -> str:
    """The id of a placed task's worker, incarnation or execution. Raises ValueError when it has none."""
    if id is None:
        raise ValueError("a placed task names its worker, incarnation and execution")
    return id
