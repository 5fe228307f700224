"""The workers' leases and incarnations: what heartbeats, offers and the end of a process do to a worker.

A heartbeat or an offer renews the lease. At its end, at a restart and when the process is gone, the executions that are
placed on the worker are lost. An incarnation is one start of an agent; what still arrives in the name of a former one
changes nothing. Drains and removals are in `removals`.
"""

from collections.abc import Iterable
from datetime import datetime

from scheduler.domain import answers
from scheduler.domain.answers import Answer
from scheduler.domain.attempts import Attempts, LostReason
from scheduler.domain.changes import Record, Totals, named
from scheduler.domain.model import Moment, Task
from scheduler.domain.removals import Removals
from scheduler.domain.roster import Roster
from scheduler.domain.worker import KnownWorker
from schemas.agents import Heartbeat, Offer
from schemas.events import (
    WorkerDraining,
    WorkerOffline,
    WorkerRecovered,
    WorkerRegistered,
    WorkerStopped,
    WorkerUnhealthy,
)
from schemas.states import Reason


class Leases:
    """`lease` is in seconds; `fence_from` is the monotonic second from which foreign executions are stopped."""

    def __init__(
        self,
        roster: Roster,
        attempts: Attempts,
        removals: Removals,
        record: Record,
        totals: Totals,
        *,
        lease: float,
        patience: float,
        fence_from: float,
    ) -> None:
        self._roster = roster
        self._attempts = attempts
        self._removals = removals
        self._record = record
        self._totals = totals
        self._lease = lease
        self._patience = patience
        self._fence_from = fence_from
        self._unnamed_until = ""
        """The execution that `unnamed` returned last."""

    def heartbeat(self, beat: Heartbeat, now: Moment, *, timely: bool = True) -> Answer:
        """Renew a worker's lease and take its news. Returns what the worker must be told.

        `timely`: events from the stream come without much delay, so that an outcome without news is not just late.
        """
        worker = self._roster.get(beat.worker_id)
        if worker is not None and beat.incarnation in worker.former:
            return Answer(fenced=self._foreign(worker, beat, now))
        if worker is None and (beat.leaving or self._removals.has_removed(beat.worker_id, beat.incarnation)):
            return Answer()
        if worker is None:
            worker = self._meet(beat, now)
        elif worker.incarnation != beat.incarnation:
            self._reincarnate(worker, beat, now)
        elif not beat.leaving and self._overtaken(worker, beat):
            self._lose_forgotten(worker, beat, now)  # this is told once only
            return Answer()
        worker.sequence = beat.sequence
        if beat.leaving:
            worker.former.append(worker.incarnation)
            worker.left = True
            for id in beat.running:  # it was ended without an outcome
                if (task := worker.placed.get(id)) is not None:
                    self._attempts.leave_worker(task)
                    self._attempts.lose(task, now, "its worker was stopped while it ran", reason=Reason.WORKER_STOPPED)
            self._leave(worker, now, "its agent has left")
            return Answer()
        if not worker.online:
            worker.online, worker.left = True, False
            self._roster.touch(worker)  # its offer may be the same as before, and a task may wait for it
            self._totals.timers += 1
            self._record.worker(worker)
            self._record.emit(_registered(worker))
        worker.left = worker.left or beat.exiting  # its goodbye may not be heard
        worker.lifted = worker.lifted and not beat.exiting
        worker.lease_until = now.monotonic + self._lease
        worker.heard_at = now.wall
        told = (beat.name, beat.type, beat.labels, beat.capacity, beat.durable)
        if told != (worker.name, worker.type, worker.labels, worker.capacity, worker.durable):
            worker.name, worker.type, worker.labels, worker.capacity, worker.durable = told
            self._record.worker(worker)
            self._roster.touch(worker)
        self._take_offer(worker, beat)
        self._lose_forgotten(worker, beat, now)
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
        worker = self._roster.get(beat.worker_id)
        return (
            worker is not None
            and beat.incarnation != worker.incarnation
            and beat.incarnation not in worker.former
            and not worker.placed.keys() <= set(beat.reporting)
        )

    def offer(self, offer: Offer, now: Moment) -> None:
        """A worker takes more or less than it did. One that is not known yet is left to its heartbeat."""
        worker = self._roster.get(offer.worker_id)
        if worker is None or worker.incarnation != offer.incarnation or not worker.online:
            return
        if self._overtaken(worker, offer):
            return
        worker.sequence = offer.sequence
        worker.lease_until = now.monotonic + self._lease
        worker.heard_at = now.wall
        self._take_offer(worker, offer)

    def stopped(self, event: WorkerStopped, said_at: datetime, now: Moment) -> None:
        """The worker's process is gone. Unless it left nothing behind, all that is placed there is lost."""
        worker = self._roster.get(event.worker_id)
        if worker is None or said_at < worker.since:
            return
        worker.former.append(worker.incarnation)  # a heartbeat that was under way must not revive it
        worker.durable = False  # whoever started its process starts another worker, and never this one again
        worker.left = worker.left or event.ordered
        if event.clean:
            self._leave(worker, now, event.detail)
        else:
            self._lose_all(worker, now, event.detail)

    def expire(self, now: Moment) -> None:
        """Lose what is placed on the workers whose lease is over."""
        for worker in self._roster.expired(now.monotonic):
            self._totals.leases_lost += 1
            self._lose_all(worker, now, f"no heartbeat for {self._lease:g} s")

    def unnamed(self, now: Moment, *, after: float, limit: int) -> list[Task]:
        """What is placed and was not named by its worker's heartbeats for `after` seconds; so many at most. The next
        call goes on where this one ended, so that those without an answer hold up no others."""
        found = {
            execution_id: worker.placed[execution_id]
            for worker in self._roster
            for execution_id, since in worker.missing.items()
            if execution_id in worker.placed and (now.monotonic - since >= after or execution_id in worker.sought)
        }
        order = sorted(found, key=lambda id: (id <= self._unnamed_until, id))[:limit]
        self._unnamed_until = order[-1] if order else ""
        return [found[id] for id in order]

    def _meet(self, beat: Heartbeat, now: Moment) -> KnownWorker:
        worker = KnownWorker(
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
        self._roster.add(worker)
        self._record.worker(worker)
        self._totals.timers += 1
        self._record.emit(_registered(worker))
        return worker

    def _reincarnate(self, worker: KnownWorker, beat: Heartbeat, now: Moment) -> None:
        worker.left = worker.left or worker.incarnation in beat.stopped
        if worker.online or worker.placed:
            # Not what has ended: the new start has its outcome on disk, and is about to report it.
            self._lose_all(worker, now, "the worker was started anew", spared=beat.reporting)
        for task in worker.placed.values():
            task.incarnation = beat.incarnation
            self._record.task(task)
        worker.former.append(worker.incarnation)
        worker.incarnation, worker.since = beat.incarnation, now.wall
        worker.draining = worker.lifted = worker.left = False
        worker.sequence = 0
        worker.stored = False  # one that was removed is there again
        self._record.worker(worker)

    def _overtaken(self, worker: KnownWorker, offer: Offer) -> bool:
        """Whether a newer heartbeat or offer was handled before this one: the two come on different subjects."""
        overtaken = 0 < offer.sequence <= worker.sequence
        self._totals.stale += overtaken
        return overtaken

    def _take_offer(self, worker: KnownWorker, offer: Offer) -> None:
        self._take_health(worker, offer.unhealthy)
        worker.lifted = worker.lifted and offer.draining
        told = (offer.slots, offer.prefetch, offer.draining)
        if told == (worker.slots, worker.prefetch, worker.draining):
            return
        if (offer.slots, offer.draining) != (worker.slots, worker.draining):
            self._record.worker(worker)
        if offer.draining and not worker.draining and not worker.drained:
            self._record.emit(WorkerDraining(worker_id=worker.id, incarnation=worker.incarnation))
        worker.slots, worker.prefetch, worker.draining = told
        self._roster.touch(worker)

    def _take_health(self, worker: KnownWorker, reason: str | None) -> None:
        if reason == worker.unhealthy:
            return
        if reason is None:
            self._record.emit(WorkerRecovered(worker_id=worker.id, incarnation=worker.incarnation))
        elif worker.unhealthy is None:
            self._record.emit(WorkerUnhealthy(worker_id=worker.id, incarnation=worker.incarnation, detail=reason))
        worker.unhealthy = reason
        self._record.worker(worker)
        self._roster.touch(worker)

    def _foreign(self, worker: KnownWorker, beat: Heartbeat, now: Moment) -> list[str]:
        """What the worker is to give up. Just after a start too little is known of what ended before it."""
        return [] if now.monotonic < self._fence_from else answers.foreign(worker, beat, ended=self._attempts.ended)

    def _lose_forgotten(self, worker: KnownWorker, beat: Heartbeat, now: Moment) -> None:
        """Lose what the worker was asked for and knows to be over: its outcome will not come any more."""
        for id in beat.over:
            task = worker.placed.get(id)
            if task is not None and id in worker.sought:
                self._attempts.leave_worker(task)
                self._attempts.lose(task, now, "its worker has no outcome of it any more")

    def _leave(self, worker: KnownWorker, now: Moment, detail: str) -> None:
        """Offline at once; what it may still have to report has until the lease's end to arrive."""
        if not worker.online:
            return
        worker.online = False
        worker.lease_until = min(worker.lease_until, now.monotonic + self._lease)
        self._note_offline(worker, detail)

    def _lose_all(self, worker: KnownWorker, now: Moment, detail: str, *, spared: Iterable[str] = ()) -> None:
        spare = frozenset(spared)
        reason: LostReason = Reason.WORKER_STOPPED if worker.left else Reason.LOST
        for task in list(worker.placed.values()):
            execution_id = named(task.execution_id)
            if execution_id in spare:
                continue
            self._attempts.leave_worker(task)
            del self._attempts.ended[execution_id]  # should it still run somewhere, it is to be stopped
            self._attempts.lose(task, now, detail, reason=reason)
        if worker.online:
            worker.online = False
            self._note_offline(worker, detail)

    def _note_offline(self, worker: KnownWorker, detail: str) -> None:
        self._roster.touch(worker)
        self._record.worker(worker)
        self._record.emit(WorkerOffline(worker_id=worker.id, incarnation=worker.incarnation, detail=detail))


def _registered(worker: KnownWorker) -> WorkerRegistered:
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
