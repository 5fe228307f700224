"""The leader's memory behind one facade: each event, heartbeat and offer changes it through a method of `Desk`.

`place` places tasks; `take` returns the changes to write and the events to publish, as one unit. Nothing here waits,
reads a clock or makes an id by itself. The owner of a desk writes each turn's changes in one transaction, and discards
the desk when that fails.

The parts: waiting tasks (`queue`), workers (`roster`), how events change attempts (`attempts`), how heartbeats and
offers change workers (`leases`), drains and removals (`removals`), workers that are reserved for large tasks
(`reservations`), and the changes of a turn (`changes`). The order of events does not matter, and a repeated event
changes nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from scheduler.domain.answers import Answer
from scheduler.domain.attempts import Attempts
from scheduler.domain.changes import Changes, Record, Totals
from scheduler.domain.leases import Leases
from scheduler.domain.model import Moment, Task, TaskState
from scheduler.domain.placement import Snapshot, place
from scheduler.domain.priorities import JobPriority, Priorities
from scheduler.domain.queue import Queue
from scheduler.domain.removals import Removals
from scheduler.domain.reservations import Reservations
from scheduler.domain.roster import Roster
from scheduler.domain.worker import KnownWorker
from schemas.agents import Heartbeat, Offer
from schemas.events import (
    ExecutionFinished,
    ExecutionReturned,
    TaskCancelRequested,
    TaskQueued,
    WorkerDraining,
    WorkerResumed,
    WorkerStopped,
)


class Desk:
    """Made empty, filled by `restore`, then changed by events.

    `lease` is in seconds. So is `patience`, after which a worker is asked for an execution that it does not list.
    """

    def __init__(self, *, lease: float, patience: float, new_id: Callable[[], str], born: Moment) -> None:
        self.queue = Queue()
        self.roster = Roster()
        self.totals = Totals()
        self._record = Record()
        self._lease = lease
        self._new_id = new_id
        self.reservations = Reservations(self.roster)
        self._priorities = Priorities()
        self.attempts = Attempts(self.queue, self.roster, self._record, self.totals, self._priorities)
        self._removals = Removals(self.roster, self.attempts, self._record)
        self._leases = Leases(
            self.roster,
            self.attempts,
            self._removals,
            self._record,
            self.totals,
            lease=lease,
            patience=patience,
            fence_from=born.monotonic + lease,
        )

    def restore(
        self,
        tasks: Iterable[Task],
        workers: Iterable[KnownWorker],
        now: Moment,
        *,
        reserved: Mapping[str, str] | None = None,
        priorities: Iterable[JobPriority] = (),
    ) -> None:
        """Fill an empty desk from the tables. Every lease begins anew. `reserved` maps the ids of reserved workers to
        the ids of their tasks, and `priorities` are those of jobs that changed, the earliest first.

        A stored prefetch may be out of date, so it counts as 0 until the worker's next heartbeat or offer.
        """
        self._priorities.learn(priorities)  # the tasks have them already
        for worker in workers:
            worker.lease_until = now.monotonic + self._lease
            worker.prefetch = 0
            self.roster.add(worker)
        for task in tasks:
            self.attempts.restore(task, now)
        for worker_id, task_id in (reserved or {}).items():
            kept, waits = self.roster.get(worker_id), self.attempts.tasks.get(task_id)
            if kept is not None and waits is not None and waits.state is TaskState.WAITING:
                self.reservations.restore(kept, waits)

    # ------------------------------------------------------------------ tasks

    def arrive(self, event: TaskQueued, now: Moment, *, traceparent: str | None = None) -> None:
        """Queue a task, which may run now or from its `run_at` on. Its events carry the trace context `traceparent`."""
        self.attempts.arrive(event, now, traceparent=traceparent)

    def reprioritize(self, changes: Iterable[JobPriority], now: Moment) -> None:
        """Give the tasks of jobs their new priorities. One call looks at all tasks, so that a turn has one call."""
        self.attempts.reprioritize(changes, now)

    def cancel(self, event: TaskCancelRequested) -> None:
        """Withdraw a waiting task, or have its execution stopped."""
        self.attempts.cancel(event)

    def finish(self, event: ExecutionFinished, *, by_agent: bool = False) -> None:
        """End an attempt by the outcome of its execution. One that an agent reports counts only while it is placed."""
        if by_agent:
            self.attempts.report(event)
        else:
            self.attempts.finish(event)

    def is_foreign(self, event: ExecutionFinished | ExecutionReturned) -> bool:
        """Whether the execution of an agent's report is placed on another worker."""
        return self.attempts.is_foreign(event)

    def give_back(self, event: ExecutionReturned, now: Moment) -> None:
        """Queue an attempt again that its worker returned before it began."""
        self.attempts.give_back(event, now)

    # ------------------------------------------------------------------ workers

    def heartbeat(self, beat: Heartbeat, now: Moment, *, timely: bool = True) -> Answer:
        """Renew a worker's lease and apply its heartbeat. Returns the orders for the worker. `timely` is whether events
        from the stream arrive without much delay, so that a missing outcome is not just late.
        """
        return self._leases.heartbeat(beat, now, timely=timely)

    def leaves_behind(self, beat: Heartbeat) -> bool:
        """Whether this heartbeat of a restarted worker would make executions lost."""
        return self._leases.leaves_behind(beat)

    def offer(self, offer: Offer, now: Moment) -> None:
        """Apply a worker's offer."""
        self._leases.offer(offer, now)

    def stopped(self, event: WorkerStopped, said_at: datetime, now: Moment) -> None:
        """Apply the end of a worker's process."""
        self._leases.stopped(event, said_at, now)

    def drain(self, event: WorkerDraining) -> bool:
        """Apply an ordered drain. Returns whether the agent must be told."""
        return self._removals.drain(event)

    def resume(self, event: WorkerResumed) -> bool:
        """Lift a drain. Returns whether the agent must be told."""
        return self._removals.resume(event)

    def removed(self, worker_id: str, now: Moment) -> None:
        """Remove a worker whose row was deleted."""
        self._removals.removed(worker_id, now)

    def forget(self, now: Moment, ttl: Callable[[KnownWorker], timedelta]) -> int:
        """Forget workers that have been offline for longer than their `ttl`. Returns the number forgotten."""
        return self._removals.forget(now, ttl)

    def unnamed(self, now: Moment, *, after: float, limit: int) -> list[Task]:
        """At most `limit` placed tasks that their worker's heartbeats have not listed for `after` seconds."""
        return self._leases.unnamed(now, after=after, limit=limit)

    # ------------------------------------------------------------------ time

    def tick(self, now: Moment) -> None:
        """Apply everything that is due: delayed tasks, queue deadlines, leases."""
        self.queue.ripen(now.wall)
        self.attempts.expire(now)
        self._leases.expire(now)

    def due_in(self, now: Moment) -> float | None:
        """Seconds until `tick` is next due; None if nothing is timed."""
        waits = []
        if (moment := self.queue.next_moment()) is not None:
            waits.append((moment - now.wall).total_seconds())
        if (expiry := self.roster.next_expiry()) is not None:
            waits.append(expiry - now.monotonic)
        return max(0.0, min(waits)) if waits else None

    # ------------------------------------------------------------------ work

    def place(self, now: Moment) -> int:
        """Place every task that fits. Returns the number of tasks placed."""
        count = 0
        while True:
            self._note_reserved(self.reservations.prune())
            if not self.queue.changed and not self.roster.changed:
                return count
            count += self._place_once(now)

    def _place_once(self, now: Moment) -> int:
        self.queue.changed = self.roster.changed = False
        rooms = self.roster.rooms()
        if not rooms or not len(self.queue):
            return 0

        def waits(task: Task) -> bool:
            return now.wall < task.patient_until and self.roster.another_fits(task)

        plan = place(Snapshot(self.queue.lanes(), rooms, self.reservations.held(), waits))
        for placement in plan:
            task, worker = placement.task, self.roster.get(placement.worker_id)
            if worker is None:
                raise ValueError(f"task {task.task_id} was placed on an unknown worker")
            self.queue.remove(task)
            task.state = TaskState.PLACED
            task.execution_id = task.wanted_execution_id or self._new_id()
            task.worker_id, task.worker_name, task.incarnation = worker.id, worker.name, worker.incarnation
            task.placed_at = now.wall
            self.roster.occupy(worker, task)
            self._record.placed(task)
        self._note_reserved(self.reservations.review(plan, now.wall))
        self.roster.changed = False  # the plan's own placements only took room
        self.totals.placed += len(plan)
        return len(plan)

    def _note_reserved(self, workers: Iterable[KnownWorker]) -> None:
        """Record the workers whose reservation changed, so that their rows are written."""
        for worker in workers:
            if self.roster.get(worker.id) is worker:
                self._record.worker(worker)

    # ------------------------------------------------------------------ the end of a turn

    def take(self) -> Changes:
        """Returns the changes since the last call. The caller must write them."""
        return self._record.take()

    def written(self, changes: Changes, refused: Iterable[str]) -> int:
        """Note that the changes are committed, and drop the `refused` arrivals. Returns the number of those."""
        for task in changes.arrivals:
            task.stored = True
        for worker in changes.workers:
            worker.stored = True
        arrived = {task.task_id: task for task in changes.arrivals}
        count = 0
        for count, task_id in enumerate(refused, 1):  # noqa: B007  # counted on the way
            self.attempts.refused(arrived[task_id])
        return count
