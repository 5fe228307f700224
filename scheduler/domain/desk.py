"""The leader's memory: the queue and the fleet together, and what every piece of news does to them.

Each method takes one fact in and changes the memory; `place` hands out work; `take` gives away what must be
written and said, as one unit. Nothing here waits, reads a clock or makes an id by itself. Whoever keeps a desk
writes what it took in one transaction, and throws the desk away when that fails.

Order does not matter and repetition changes nothing: an attempt is known by (task, attempt), the higher one
wins, and whatever is no longer in memory is decided by the tables (`Changes.arrivals` may be refused there).
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from sys import intern
from typing import Final, Literal

from scheduler.domain import answers
from scheduler.domain.answers import Answer
from scheduler.domain.fleet import Fleet, Worker
from scheduler.domain.model import Outcome, Shape, Task, TaskState
from scheduler.domain.placement import Snapshot, place
from scheduler.domain.queue import Queue
from scheduler.domain.reservations import Reservations
from schemas.agents import Heartbeat, Offer
from schemas.events import (
    EventData,
    ExecutionCancelRequested,
    ExecutionFinished,
    ExecutionLost,
    ExecutionReturned,
    TaskCancelRequested,
    TaskExpired,
    TaskQueued,
    TaskScheduled,
    TaskWithdrawn,
    WorkerDraining,
    WorkerForgotten,
    WorkerOffline,
    WorkerRecovered,
    WorkerRegistered,
    WorkerResumed,
    WorkerStopped,
    WorkerUnhealthy,
)
from schemas.specs import PRIORITY_RANK, RunSpec
from schemas.states import Reason

MAX_ENDED: Final = 20_000
MAX_DISMISSED: Final = 10_000
MAX_FORGOTTEN: Final = 500
"""Workers that one turn forgets."""


LostReason = Literal[Reason.LOST, Reason.WORKER_STOPPED]


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, by both clocks: the wall's for what people name, a monotonic one (seconds) for leases."""

    wall: datetime
    monotonic: float


@dataclass(slots=True)
class Changes:
    """What one turn did, to be written in one transaction.

    `arrivals` are attempts that the tables do not know yet and may refuse, `runs` what they run, by task id;
    `updates` are rows that exist; `scheduled` are the tasks of either kind that were placed; `unknown` are ends and
    cancellations of attempts that are not in memory: the tables say what they mean.
    """

    arrivals: list[Task] = field(default_factory=list)
    runs: dict[str, RunSpec] = field(default_factory=dict)
    updates: list[Task] = field(default_factory=list)
    scheduled: list[Task] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    forgotten: list[Worker] = field(default_factory=list)
    finished: list[ExecutionFinished] = field(default_factory=list)
    cancelled: list[TaskCancelRequested] = field(default_factory=list)
    events: list[EventData] = field(default_factory=list)

    def said(self, runs: Mapping[str, RunSpec], refused: Iterable[str] = ()) -> list[EventData]:
        """The events of the turn, the orders to run included; `runs` says what is placed runs, by task id. Of an
        arrival that the tables `refused`, because they know more of its attempt, nothing is said: it was neither placed
        nor withdrawn.
        """
        unknown = set(refused)
        orders = [scheduled(task, runs[task.task_id]) for task in self.scheduled if task.task_id not in unknown]
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
        return bool(self.arrivals or self.updates or self.workers or self.finished or self.cancelled or self.events)


class Desk:
    """Made empty, filled by `restore`, and from then on changed by facts.

    In seconds: `lease`, and `patience`, for which an execution that its worker does not name is not missed yet.
    """

    def __init__(self, *, lease: float, patience: float, new_id: Callable[[], str], born: Moment) -> None:
        self.queue = Queue()
        self.fleet = Fleet()
        self.reservations = Reservations(self.fleet)
        self.tasks: dict[str, Task] = {}
        self.stale = 0
        """Reports of attempts that are no longer current, so far."""
        self.leases_lost = 0
        self.placed = 0
        self.timing_changed = False
        """Whether something timed was added since somebody last looked."""
        self._lease = lease
        self._patience = patience
        self._new_id = new_id
        self._fence_from = born.monotonic + lease
        self._dismissed: OrderedDict[str, str] = OrderedDict()
        """Removed workers with the incarnation that was removed: it is not met again."""
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._unnamed_until = ""
        """The execution that `unnamed` returned last."""
        self._touched: dict[str, Task] = {}
        self._ended_now: dict[str, int] = {}
        """Tasks that ended in this turn, with the latest attempt that did."""
        self._placed_now: dict[str, Task] = {}
        self._workers_touched: dict[str, Worker] = {}
        self._changes = Changes()

    def restore(
        self,
        tasks: Iterable[Task],
        workers: Iterable[Worker],
        now: Moment,
        *,
        reserved: Mapping[str, str] | None = None,
    ) -> None:
        """Fill an empty desk from the tables. Every lease is good for one whole period from now on. `reserved` are the
        workers that were kept for a task (ids).

        What a worker took in advance may be long past: nothing is prefetched before its next word.
        """
        for worker in workers:
            worker.lease_until = now.monotonic + self._lease
            worker.prefetch = 0
            self.fleet.add(worker)
        for task in tasks:
            task.stored = True
            self.tasks[task.task_id] = task
            worker_there = self.fleet.get(task.worker_id) if task.worker_id is not None else None
            if task.state is TaskState.WAITING:
                self.queue.add(task, now.wall)
            elif worker_there is not None and worker_there.incarnation == task.incarnation:
                task.worker_name = worker_there.name
                self.fleet.occupy(worker_there, task)
            else:
                self._lose(task, now, "its worker is not known any more")
        for worker_id, task_id in (reserved or {}).items():
            worker_of, waits = self.fleet.get(worker_id), self.tasks.get(task_id)
            if worker_of is not None and waits is not None and waits.state is TaskState.WAITING:
                self.reservations.restore(worker_of, waits)

    # ------------------------------------------------------------------ tasks

    def arrive(self, event: TaskQueued, now: Moment, *, traceparent: str | None = None) -> None:
        """A task may run from now on, or from its `run_at` on. Its events belong to the trace `traceparent`."""
        known = self.tasks.get(event.task_id)
        if known is not None:
            if known.attempt >= event.attempt:
                self.stale += known.attempt > event.attempt
                return
            self._supersede(known)
        elif self._just_ended(event.task_id, event.attempt):
            self.stale += 1
            return
        elif event.task_id in self._ended_now:
            self._say_nothing_of_the_earlier(event.task_id)
        task = Task(
            task_id=event.task_id,
            job_id=event.job_id,
            attempt=event.attempt,
            name=intern(event.name),
            priority=PRIORITY_RANK[event.priority],
            shape=Shape.of(event.requires, event.resources),
            queued_at=event.queued_at,
            ready_at=event.queued_at if event.run_at is None else max(event.queued_at, event.run_at),
            run_at=event.run_at,
            queue_deadline=event.queue_deadline,
            wanted_execution_id=event.execution_id,
            shuns=tuple(event.avoid_worker_ids) or ((event.avoid_worker_id,) if event.avoid_worker_id else ()),
            traceparent=traceparent,
        )
        self.tasks[task.task_id] = task
        self._touched[task.task_id] = task
        self._changes.runs[task.task_id] = event.run
        self.queue.add(task, now.wall)
        if task.run_at is not None or task.queue_deadline is not None or task.shuns:
            self.timing_changed = True

    def cancel(self, event: TaskCancelRequested) -> None:
        """Withdraw a waiting task, or have its execution stopped. What is unknown is settled by the tables."""
        task = self._current(event.task_id, event.attempt)
        if task is None and self._just_ended(event.task_id, event.attempt):
            self.stale += 1
        elif task is None:
            self._changes.cancelled.append(event)
            self._ended_now[event.task_id] = event.attempt
        elif task.attempt > event.attempt:
            self.stale += 1
        elif task.state is TaskState.WAITING:
            self._withdraw(task, event)
        elif task.state is TaskState.PLACED and task.cancel_reason is None:
            task.cancel_reason = event.reason
            self._touched[task.task_id] = task
            self._changes.events.append(
                ExecutionCancelRequested(
                    execution_id=_named(task.execution_id),
                    task_id=task.task_id,
                    job_id=task.job_id,
                    attempt=task.attempt,
                    worker_id=_named(task.worker_id),
                    reason=event.reason,
                )
            )

    def finish(self, event: ExecutionFinished) -> None:
        """An execution is over: its room is free."""
        task = self._current(event.task_id, event.attempt)
        if task is None and self._just_ended(event.task_id, event.attempt):
            self.stale += 1
        elif task is None:
            self._changes.finished.append(event)
            self._ended_now[event.task_id] = event.attempt
        elif task.execution_id == event.execution_id and task.state is TaskState.PLACED:
            self._leave_worker(task)
            task.report = event
            self._end(task, Outcome(event.status.value))
        else:
            self.stale += 1

    def give_back(self, event: ExecutionReturned, now: Moment) -> None:
        """The worker did not begin it: the same attempt waits again, and goes elsewhere if it can."""
        task = self.tasks.get(event.task_id)
        if task is None or task.execution_id != event.execution_id or task.state is not TaskState.PLACED:
            self.stale += 1
            return
        self._leave_worker(task)
        if (worker := self.fleet.get(event.worker_id)) is not None and worker.incarnation == event.incarnation:
            worker.prefetch = 0  # what it offered is not so any more; its next word says what is
            self.fleet.touch(worker)
        if task.cancel_reason is not None:
            self._end(task, Outcome.WITHDRAWN)
            self._changes.events.append(
                TaskWithdrawn(task_id=task.task_id, job_id=task.job_id, attempt=task.attempt, reason=task.cancel_reason)
            )
            return
        task.state = TaskState.WAITING
        task.execution_id = task.worker_id = task.worker_name = task.incarnation = None
        task.placed_at = task.wanted_execution_id = None
        task.avoid_worker_id = event.worker_id
        self._touched[task.task_id] = task
        self.queue.add(task, now.wall)

    # ------------------------------------------------------------------ workers

    def heartbeat(self, beat: Heartbeat, now: Moment, *, timely: bool = True) -> Answer:
        """Renew a lease, take news of a worker; returns what it is to be told.

        `timely`: news from the stream comes without much delay, so that what is not heard of is not just late.
        """
        worker = self.fleet.get(beat.worker_id)
        if worker is not None and beat.incarnation in worker.former:
            return Answer(fenced=self._foreign(worker, beat, now))
        if worker is None and (beat.leaving or self._dismissed.get(beat.worker_id) == beat.incarnation):
            return Answer()
        if worker is None:
            worker = self._meet(beat, now)
        elif worker.incarnation != beat.incarnation:
            self._reincarnate(worker, beat, now)
        elif self._overtaken(worker, beat):
            self._forget(worker, beat, now)  # this is told once only
            return Answer()
        worker.sequence = beat.sequence
        if beat.leaving:
            worker.former.append(worker.incarnation)
            worker.left = True
            for id in beat.running:  # it was ended without an outcome
                if (task := worker.placed.get(id)) is not None:
                    self._leave_worker(task)
                    self._lose(task, now, "its worker was stopped while it ran", reason=Reason.WORKER_STOPPED)
            self._leave(worker, now, "its agent has left")
            return Answer()
        if not worker.online:
            worker.online, worker.left = True, False
            self.fleet.touch(worker)  # it may offer what it offered before, and be wanted now
            self.timing_changed = True
            self._workers_touched[worker.id] = worker
            self._changes.events.append(_registered(worker))
        worker.left = worker.left or beat.exiting  # its goodbye may not be heard
        worker.lifted = worker.lifted and not beat.exiting
        worker.lease_until = now.monotonic + self._lease
        worker.heard_at = now.wall
        told = (beat.name, beat.type, beat.labels, beat.capacity, beat.durable)
        if told != (worker.name, worker.type, worker.labels, worker.capacity, worker.durable):
            worker.name, worker.type, worker.labels, worker.capacity, worker.durable = told
            self._workers_touched[worker.id] = worker
            self.fleet.touch(worker)
        self._take_offer(worker, beat)
        self._forget(worker, beat, now)
        return Answer(
            fenced=self._foreign(worker, beat, now),
            stopped=answers.stopped(worker, beat),
            sought=answers.missed(worker, beat, now.monotonic, patience=self._patience, timely=timely),
            drain=worker.drained and not beat.draining,
            resume=beat.draining and not beat.exiting and not worker.drained,
        )

    def leaves_behind(self, beat: Heartbeat) -> bool:
        """Whether the worker was started anew, and what was placed on the start before will be lost by this heartbeat:
        it does not name its outcome as one that is still to be reported."""
        worker = self.fleet.get(beat.worker_id)
        return (
            worker is not None
            and beat.incarnation != worker.incarnation
            and beat.incarnation not in worker.former
            and not worker.placed.keys() <= set(beat.reporting)
        )

    def offer(self, offer: Offer, now: Moment) -> None:
        """A worker takes more or less than it did. One that is not known yet is left to its heartbeat."""
        worker = self.fleet.get(offer.worker_id)
        if worker is None or worker.incarnation != offer.incarnation or not worker.online:
            return
        if self._overtaken(worker, offer):
            return
        worker.sequence = offer.sequence
        worker.lease_until = now.monotonic + self._lease
        worker.heard_at = now.wall
        self._take_offer(worker, offer)

    def drain(self, event: WorkerDraining) -> bool:
        """A drain was ordered; it lasts until it is lifted. Tells whether the agent has to be told."""
        worker = self.fleet.get(event.worker_id)
        if worker is None or not event.ordered or worker.drained:
            return False  # or our own word coming back, of a drain that the agent began
        worker.drained, worker.lifted = True, False
        self.fleet.touch(worker)
        self._workers_touched[worker.id] = worker
        return worker.online and not worker.draining

    def resume(self, event: WorkerResumed) -> bool:
        """The drain is lifted. Tells whether the agent has to be told; it takes work once it has said so."""
        worker = self.fleet.get(event.worker_id)
        if worker is None or not worker.drained:
            return False
        worker.drained, worker.lifted = False, worker.draining and not worker.left
        self.fleet.touch(worker)
        self._workers_touched[worker.id] = worker
        return worker.online and worker.draining

    def stopped(self, event: WorkerStopped, said_at: datetime, now: Moment) -> None:
        """The worker's process is gone. Unless it left nothing behind, all that is placed there is lost."""
        worker = self.fleet.get(event.worker_id)
        if worker is None or said_at < worker.since:
            return
        worker.former.append(worker.incarnation)  # a heartbeat that was under way must not revive it
        worker.durable = False  # whoever started its process starts another worker, and never this one again
        worker.left = worker.left or event.ordered
        if event.clean:
            self._leave(worker, now, event.detail)
        else:
            self._lose_all(worker, now, event.detail)

    def removed(self, worker_id: str, now: Moment) -> None:
        """The worker's row is gone: nothing that is placed there will be heard of again."""
        worker = self.fleet.get(worker_id)
        if worker is None:
            return
        for task in list(worker.placed.values()):
            self._leave_worker(task)
            self._lose(task, now, "its worker was removed", reason=Reason.WORKER_STOPPED)
        self.fleet.remove(worker_id)
        self._workers_touched.pop(worker_id, None)
        self._dismissed[worker_id] = worker.incarnation
        if len(self._dismissed) > MAX_DISMISSED:
            self._dismissed.popitem(last=False)

    def forget(self, now: Moment, ttl: Callable[[Worker], timedelta]) -> int:
        """Forget workers that have been offline for longer than `ttl` of them; returns how many."""
        found = [
            worker
            for worker in self.fleet
            if not worker.online and not worker.placed and now.wall - (worker.heard_at or worker.since) >= ttl(worker)
        ][:MAX_FORGOTTEN]
        for worker in found:
            self.fleet.remove(worker.id)
            self._workers_touched.pop(worker.id, None)
            self._changes.forgotten.append(worker)
            detail = f"offline for longer than {ttl(worker).total_seconds():g} s"
            self._changes.events.append(WorkerForgotten(worker_id=worker.id, name=worker.name, detail=detail))
        return len(found)

    def unnamed(self, now: Moment, *, after: float, limit: int) -> list[Task]:
        """What is placed and was not named by its worker's heartbeats for `after` seconds; so many at most. The next
        call goes on where this one ended, so that those without an answer hold up no others."""
        found = {
            execution_id: worker.placed[execution_id]
            for worker in self.fleet
            for execution_id, since in worker.missing.items()
            if execution_id in worker.placed and (now.monotonic - since >= after or execution_id in worker.sought)
        }
        order = sorted(found, key=lambda id: (id <= self._unnamed_until, id))[:limit]
        self._unnamed_until = order[-1] if order else ""
        return [found[id] for id in order]

    # ------------------------------------------------------------------ time

    def tick(self, now: Moment) -> None:
        """Do what is due: delayed tasks, queue deadlines, leases."""
        self.queue.ripen(now.wall)
        for task in self.queue.overdue(now.wall):
            self.queue.remove(task)
            self._end(task, Outcome.EXPIRED)
            self._changes.events.append(TaskExpired(task_id=task.task_id, job_id=task.job_id, attempt=task.attempt))
        for worker in self.fleet.expired(now.monotonic):
            self.leases_lost += 1
            self._lose_all(worker, now, f"no heartbeat for {self._lease:g} s")

    def due_in(self, now: Moment) -> float | None:
        """Seconds until `tick` next has something to do; None while nothing is timed."""
        self.timing_changed = False
        waits = []
        if (moment := self.queue.next_moment()) is not None:
            waits.append((moment - now.wall).total_seconds())
        if (expiry := self.fleet.next_expiry()) is not None:
            waits.append(expiry - now.monotonic)
        return max(0.0, min(waits)) if waits else None

    # ------------------------------------------------------------------ work

    def place(self, now: Moment) -> int:
        """Hand out what fits; returns how many tasks were placed."""
        count = 0
        while True:
            self._note_reserved(self.reservations.prune())
            if not self.queue.changed and not self.fleet.changed:
                return count
            count += self._place_once(now)

    def _place_once(self, now: Moment) -> int:
        self.queue.changed = self.fleet.changed = False
        rooms = self.fleet.rooms()
        if not rooms or not len(self.queue):
            return 0

        def waits(task: Task) -> bool:
            return now.wall < task.patient_until and self.fleet.another_fits(task)

        plan = place(Snapshot(self.queue.lanes(), rooms, self.reservations.held(), waits))
        for placement in plan:
            task, worker = placement.task, self.fleet.get(placement.worker_id)
            if worker is None:
                raise ValueError(f"task {task.task_id} was placed on an unknown worker")
            self.queue.remove(task)
            task.state = TaskState.PLACED
            task.execution_id = task.wanted_execution_id or self._new_id()
            task.worker_id, task.worker_name, task.incarnation = worker.id, worker.name, worker.incarnation
            task.placed_at = now.wall
            self.fleet.occupy(worker, task)
            self._touched[task.task_id] = task
            self._placed_now[task.task_id] = task
        self._note_reserved(self.reservations.review(plan, now.wall))
        self.fleet.changed = False  # by our own placements: they only took room
        self.placed += len(plan)
        return len(plan)

    def _note_reserved(self, workers: Iterable[Worker]) -> None:
        """Have written whom workers are kept for."""
        self._workers_touched.update((worker.id, worker) for worker in workers if self.fleet.get(worker.id) is worker)

    def take(self) -> Changes:
        """What has changed since it was last asked; it is the caller's to write now."""
        changes, self._changes = self._changes, Changes()
        for task in self._touched.values():
            (changes.updates if task.stored else changes.arrivals).append(task)
        changes.scheduled = [task for task in self._placed_now.values() if task.state is TaskState.PLACED]
        changes.workers = list(self._workers_touched.values())
        self._touched, self._placed_now, self._workers_touched = {}, {}, {}
        self._ended_now = {}
        return changes

    def written(self, changes: Changes, refused: Iterable[str]) -> int:
        """The changes are committed; `refused` arrivals were known to the tables as over. Returns how many were."""
        for task in changes.arrivals:
            task.stored = True
        for worker in changes.workers:
            worker.stored = True
        count = 0
        arrived = {task.task_id: task for task in changes.arrivals}
        for task_id in refused:
            count += 1
            task = arrived[task_id]
            self.tasks.pop(task_id, None)
            self.queue.remove(task)
            if task.worker_id is not None and task.execution_id is not None:
                self.fleet.release(task.worker_id, task.execution_id)
        self.stale += count
        return count

    # ------------------------------------------------------------------ inside

    def _current(self, task_id: str, attempt: int) -> Task | None:
        """What memory holds of the task, unless that is older than the attempt spoken of."""
        task = self.tasks.get(task_id)
        if task is not None and task.attempt < attempt:
            self._supersede(task)
            del self.tasks[task_id]
            return None
        return task

    def _just_ended(self, task_id: str, attempt: int) -> bool:
        """Whether this very turn has ended the attempt, or a later one: the tables do not know yet."""
        return self._ended_now.get(task_id, 0) >= attempt

    def _supersede(self, task: Task) -> None:
        """A later attempt exists, so whatever this one holds is over; its row becomes the later one's."""
        self.queue.remove(task)
        if task.state is TaskState.PLACED:
            self._leave_worker(task)
        self._touched.pop(task.task_id, None)
        self._placed_now.pop(task.task_id, None)

    def _say_nothing_of_the_earlier(self, task_id: str) -> None:
        """A later attempt came in the turn in which an earlier one was withdrawn at once. The tables judge the later
        one alone, and may have known the earlier one for long: whoever made the later one knows that it is over.
        """
        ended = self._touched.get(task_id)
        if ended is not None and not ended.stored:
            self._changes.events = [
                event
                for event in self._changes.events
                if not (isinstance(event, TaskWithdrawn) and (event.task_id, event.attempt) == (task_id, ended.attempt))
            ]

    def _withdraw(self, task: Task, event: TaskCancelRequested) -> None:
        self.queue.remove(task)
        self._end(task, Outcome.WITHDRAWN)
        self._changes.events.append(
            TaskWithdrawn(task_id=task.task_id, job_id=task.job_id, attempt=task.attempt, reason=event.reason)
        )

    def _end(self, task: Task, outcome: Outcome) -> None:
        task.state, task.outcome = TaskState.DONE, outcome
        self._touched[task.task_id] = task
        self._ended_now[task.task_id] = task.attempt
        self.tasks.pop(task.task_id, None)

    def _leave_worker(self, task: Task) -> None:
        execution_id = _named(task.execution_id)
        self.fleet.release(_named(task.worker_id), execution_id)
        self._ended[execution_id] = None
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)

    def _meet(self, beat: Heartbeat, now: Moment) -> Worker:
        worker = Worker(
            id=beat.worker_id,
            type=beat.type,
            name=beat.name,
            incarnation=beat.incarnation,
            since=now.wall,
            labels=beat.labels,
            capacity=beat.capacity,
            slots=beat.slots,
            prefetch=beat.prefetch,
            durable=beat.durable,
            lease_until=now.monotonic + self._lease,
        )
        self.fleet.add(worker)
        self._workers_touched[worker.id] = worker
        self.timing_changed = True
        self._changes.events.append(_registered(worker))
        return worker

    def _reincarnate(self, worker: Worker, beat: Heartbeat, now: Moment) -> None:
        worker.left = worker.left or worker.incarnation in beat.stopped
        if worker.online or worker.placed:
            # Not what has ended: the new start has its outcome on disk, and is about to report it.
            self._lose_all(worker, now, "the worker was started anew", spared=beat.reporting)
        for task in worker.placed.values():
            task.incarnation = beat.incarnation
            self._touched[task.task_id] = task
        worker.former.append(worker.incarnation)
        worker.incarnation, worker.since = beat.incarnation, now.wall
        worker.draining = worker.lifted = worker.left = False
        worker.sequence = 0
        worker.stored = False  # one that was removed is there again
        self._workers_touched[worker.id] = worker

    def _overtaken(self, worker: Worker, offer: Offer) -> bool:
        """Whether a newer heartbeat or offer was handled before this one: the two come on different subjects."""
        overtaken = 0 < offer.sequence <= worker.sequence
        self.stale += overtaken
        return overtaken

    def _take_offer(self, worker: Worker, offer: Offer) -> None:
        self._take_health(worker, offer.unhealthy)
        worker.lifted = worker.lifted and offer.draining
        told = (offer.slots, offer.prefetch, offer.draining)
        if told == (worker.slots, worker.prefetch, worker.draining):
            return
        if (offer.slots, offer.draining) != (worker.slots, worker.draining):
            self._workers_touched[worker.id] = worker
        if offer.draining and not worker.draining and not worker.drained:
            self._changes.events.append(WorkerDraining(worker_id=worker.id, incarnation=worker.incarnation))
        worker.slots, worker.prefetch, worker.draining = told
        self.fleet.touch(worker)

    def _take_health(self, worker: Worker, reason: str | None) -> None:
        if reason == worker.unhealthy:
            return
        if reason is None:
            self._changes.events.append(WorkerRecovered(worker_id=worker.id, incarnation=worker.incarnation))
        elif worker.unhealthy is None:
            self._changes.events.append(
                WorkerUnhealthy(worker_id=worker.id, incarnation=worker.incarnation, detail=reason)
            )
        worker.unhealthy = reason
        self._workers_touched[worker.id] = worker
        self.fleet.touch(worker)

    def _foreign(self, worker: Worker, beat: Heartbeat, now: Moment) -> list[str]:
        """What the worker is to give up. Just after a start too little is known of what ended before it."""
        return [] if now.monotonic < self._fence_from else answers.foreign(worker, beat, ended=self._ended)

    def _forget(self, worker: Worker, beat: Heartbeat, now: Moment) -> None:
        """Lose what the worker was asked for and knows to be over: its outcome will not come any more."""
        for id in beat.over:
            task = worker.placed.get(id)
            if task is not None and id in worker.sought:
                self._leave_worker(task)
                self._lose(task, now, "its worker has no outcome of it any more")

    def _leave(self, worker: Worker, now: Moment, detail: str) -> None:
        """Offline at once; what it may still have to report has until the lease's end to arrive."""
        if not worker.online:
            return
        worker.online = False
        worker.lease_until = min(worker.lease_until, now.monotonic + self._lease)
        self._say_offline(worker, detail)

    def _lose_all(self, worker: Worker, now: Moment, detail: str, *, spared: Iterable[str] = ()) -> None:
        spare = frozenset(spared)
        reason: LostReason = Reason.WORKER_STOPPED if worker.left else Reason.LOST
        for task in list(worker.placed.values()):
            execution_id = _named(task.execution_id)
            if execution_id in spare:
                continue
            self._leave_worker(task)
            del self._ended[execution_id]  # should it still run somewhere, it is to be stopped
            self._lose(task, now, detail, reason=reason)
        if worker.online:
            worker.online = False
            self._say_offline(worker, detail)

    def _say_offline(self, worker: Worker, detail: str) -> None:
        self.fleet.touch(worker)
        self._workers_touched[worker.id] = worker
        self._changes.events.append(WorkerOffline(worker_id=worker.id, incarnation=worker.incarnation, detail=detail))

    def _lose(self, task: Task, now: Moment, detail: str, *, reason: LostReason = Reason.LOST) -> None:
        task.report = ExecutionLost(
            execution_id=_named(task.execution_id),
            task_id=task.task_id,
            job_id=task.job_id,
            attempt=task.attempt,
            worker_id=_named(task.worker_id),
            worker_name=task.worker_name,
            incarnation=_named(task.incarnation),
            reason=reason,
            detail=detail,
            lost_at=now.wall,
        )
        self._changes.events.append(task.report)
        self._end(task, Outcome.LOST)


def scheduled(task: Task, run: RunSpec) -> TaskScheduled:
    """The order to run a placed task."""
    if task.placed_at is None:
        raise ValueError(f"task {task.task_id} is not placed")
    return TaskScheduled(
        task_id=task.task_id,
        job_id=task.job_id,
        attempt=task.attempt,
        name=task.name,
        execution_id=_named(task.execution_id),
        worker_id=_named(task.worker_id),
        worker_name=task.worker_name,
        incarnation=_named(task.incarnation),
        run=run,
        scheduled_at=task.placed_at,
    )


def _registered(worker: Worker) -> WorkerRegistered:
    return WorkerRegistered(
        worker_id=worker.id,
        type=worker.type,
        name=worker.name,
        labels=dict(worker.labels),
        slots=worker.slots,
        has_agent=True,
        incarnation=worker.incarnation,
        draining=worker.drained,
    )


def _named(id: str | None) -> str:
    if id is None:
        raise ValueError("a placed task names its worker, incarnation and execution")
    return id
