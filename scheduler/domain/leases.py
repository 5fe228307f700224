"""The workers' leases and incarnations: how heartbeats, offers and the end of a process change a worker.

A heartbeat or an offer renews the lease. When the lease runs out, the agent restarts or its process ends, the
executions placed on the worker are lost. An incarnation is one life of an agent; messages of a former one change
nothing. Drains and removals are in `removals`.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from scheduler.domain import answers
from scheduler.domain.answers import Answer
from scheduler.domain.attempts import Attempts, LostReason
from scheduler.domain.changes import Record, Totals, named
from scheduler.domain.model import Moment, Task
from scheduler.domain.removals import Removals
from scheduler.domain.roster import Roster
from scheduler.domain.worker import KnownWorker
from schemas.agents import PROTOCOL, Heartbeat, Offer
from schemas.events import (
    WorkerDraining,
    WorkerOffline,
    WorkerRecovered,
    WorkerRegistered,
    WorkerStopped,
    WorkerUnhealthy,
)
from schemas.states import Reason

OUTDATED: Final = (
    "its agent is of an earlier version, which this platform gives no work: install the platform's version on the "
    "worker's machine, and start the worker again"
)
"""Why a worker is unhealthy whose agent has a lower PROTOCOL. What it runs already goes on."""


class Leases:
    """Applies the news of workers. `lease` and `patience` are in seconds; `fence_from` is the monotonic time from which
    executions that are not placed on their worker are stopped."""

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
        """The last execution that `unnamed` returned."""

    def heartbeat(self, beat: Heartbeat, now: Moment, *, timely: bool = True) -> Answer:
        """Renew a worker's lease and apply its heartbeat. Returns the orders for the worker.

        `timely` is whether events from the stream arrive without much delay, so that a missing outcome is not just
        late.
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
            self._lose_forgotten(worker, beat, now)  # no later heartbeat repeats `over`
            return Answer()
        worker.sequence = beat.sequence
        if beat.leaving:
            worker.former.append(worker.incarnation)
            worker.left = True
            for id in beat.running:  # these were ended without an outcome
                if (task := worker.placed.get(id)) is not None:
                    self._attempts.leave_worker(task)
                    self._attempts.lose(task, now, "its worker was stopped while it ran", reason=Reason.WORKER_STOPPED)
            self._leave(worker, now, "its agent stopped")
            return Answer()
        if not worker.online:
            worker.online, worker.left = True, False
            self._roster.touch(worker)  # even with an unchanged offer: a task may wait for it
            self._totals.timers += 1
            self._record.worker(worker)
            self._record.emit(_registered(worker))
        worker.left = worker.left or beat.exiting  # its last heartbeat may be lost
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
        """Whether the agent has restarted, and this heartbeat would make executions of its former incarnation lost: it
        does not list them among those whose outcome is still to be reported."""
        worker = self._roster.get(beat.worker_id)
        return (
            worker is not None
            and beat.incarnation != worker.incarnation
            and beat.incarnation not in worker.former
            and not worker.placed.keys() <= set(beat.reporting)
        )

    def offer(self, offer: Offer, now: Moment) -> None:
        """Apply a worker's offer. An unknown worker is left to its next heartbeat."""
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
        """Apply the end of a worker's process. Unless the end was clean, all executions placed there are lost."""
        worker = self._roster.get(event.worker_id)
        if worker is None or said_at < worker.since:
            return
        worker.former.append(worker.incarnation)  # a late heartbeat must not revive it
        worker.durable = False  # its provider starts other workers, never this one again
        worker.left = worker.left or event.ordered
        if event.clean:
            self._leave(worker, now, event.detail)
        else:
            self._lose_all(worker, now, event.detail)

    def expire(self, now: Moment) -> None:
        """Make the executions lost that are placed on workers whose lease has run out."""
        for worker in self._roster.expired(now.monotonic):
            self._totals.leases_lost += 1
            self._lose_all(worker, now, f"no heartbeat for {self._lease:g} s")

    def unnamed(self, now: Moment, *, after: float, limit: int) -> list[Task]:
        """At most `limit` placed tasks that their worker's heartbeats have not listed for `after` seconds. The next
        call continues after the last of them, so that tasks without an answer do not hold up others."""
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
            # Except executions that have ended: the new incarnation has their outcomes on disk and will report them.
            self._lose_all(worker, now, "the worker was restarted", spared=beat.reporting)
        for task in worker.placed.values():
            task.incarnation = beat.incarnation
            self._record.task(task)
        worker.former.append(worker.incarnation)
        worker.incarnation, worker.since = beat.incarnation, now.wall
        worker.draining = worker.lifted = worker.left = False
        worker.sequence = 0
        worker.stored = False  # a removed worker needs a new row
        self._record.worker(worker)

    def _overtaken(self, worker: KnownWorker, offer: Offer) -> bool:
        """Whether a newer heartbeat or offer was handled before this one. The two kinds come on different subjects, so
        they may arrive out of order."""
        overtaken = 0 < offer.sequence <= worker.sequence
        self._totals.stale += overtaken
        return overtaken

    def _take_offer(self, worker: KnownWorker, offer: Offer) -> None:
        outdated = offer.protocol < PROTOCOL
        if not isinstance(offer, Heartbeat):
            # One process has one version. Only heartbeats are held against what the worker's credentials allow.
            outdated = outdated or worker.unhealthy == OUTDATED
        self._take_health(worker, OUTDATED if outdated else offer.unhealthy)
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
        """The executions that the worker must stop; none just after the leader's start, when it does not know yet which
        have ended recently."""
        return [] if now.monotonic < self._fence_from else answers.foreign(worker, beat, ended=self._attempts.ended)

    def _lose_forgotten(self, worker: KnownWorker, beat: Heartbeat, now: Moment) -> None:
        """Make executions lost that the worker was asked for and reports as over: their outcomes went missing."""
        for id in beat.over:
            task = worker.placed.get(id)
            if task is not None and id in worker.sought:
                self._attempts.leave_worker(task)
                self._attempts.lose(task, now, "its worker no longer has its outcome")

    def _leave(self, worker: KnownWorker, now: Moment, detail: str) -> None:
        """Take a worker offline at once. Its outcomes may arrive until the end of the lease."""
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
            del self._attempts.ended[execution_id]  # if it still runs, it must be stopped
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
