"""Firing schedules when they are due; a part of the leader.

A schedule fires in the transaction that writes its firing and its next due time, so there is one firing for each due
time, even if several processes try. The job's id is chosen there as well, so that the order can be repeated. Only the
orchestrator knows whether the job can be created; its verdict comes as an event (`scheduler.consumers`).

Due times that passed while no scheduler could fire are caught up on: their firings are written as waiting, and fire in
transactions of bounded size, after those that are due now. Which of them, `scheduler.domain.firing` decides.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from scheduler.counters import Counters
from scheduler.domain.firing import Due, Plan, plan
from scheduler.domain.schedule import NoDueTime, Slot, Stored
from scheduler.loops import Hold
from scheduler.ordering import Ordering
from scheduler.store.firings import FiringStore, NewFiring, Ordered
from scheduler.store.schedules import Advance, Broken, ScheduleStore
from schemas.events import ScheduleCompleted, ScheduleDeleted, ScheduleFailed, ScheduleMissed
from schemas.rest.schedules import CATCH_UP_LIMIT
from schemas.states import FiringKind, FiringOutcome, ScheduleStatus
from shared.bus import Bus, Subscription
from shared.ids import new_id
from shared.outbox import Outbox, OutboxTransaction
from shared.service import Counts, Loop

FIRE_LIMIT: Final = 500
"""The most schedules, and the most waiting firings, that fire in one transaction."""
LOOK_LIMIT: Final = 2000
"""The most due times that are looked at in one transaction, beside those of one schedule."""
LONGEST_SLEEP: Final = 60.0
WAKING: Final = ("created", "updated", "resumed")
"""Events of schedules after which one may be due earlier."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Fired:
    """What one transaction has done. `following` is when the next schedule fires; `waiting` firings are left."""

    orders: list[Ordered] = field(default_factory=list)
    lateness: list[timedelta] = field(default_factory=list)
    """How late each of them is."""
    missed: int = 0
    waiting: int = 0
    following: datetime | None = None


class Schedules:
    """Fires the schedules that are due."""

    def __init__(self, store: ScheduleStore, firings: FiringStore, outbox: Outbox, ordering: Ordering) -> None:
        self._store = store
        self._firings = firings
        self._outbox = outbox
        self._ordering = ordering

    async def fire(self, moment: datetime, hold: Hold) -> Fired:
        """Fire a bounded number of schedules that are due at `moment`.

        Raises Unavailable when a schedule is due and this process does not lead any more.
        """
        done = Fired()
        async with self._outbox.transaction() as tx:
            due, broken = await self._store.lock_due(tx, moment, FIRE_LIMIT)
            waiting = 0
            if due or broken:
                await hold(tx)
                waiting = await self._plan(tx, due, moment, done, broken)
            left = FIRE_LIMIT - len(done.orders)
            late, unreadable = await self._firings.lock_waiting(tx, left) if left > 0 else ([], [])
            if late or unreadable:
                if not (due or broken):
                    await hold(tx)
                await self._firings.fire_waiting(tx, late, moment)
                done.orders += late
                done.lateness += [max(timedelta(0), moment - one.due_at) for one in late]
            if broken or unreadable:
                await self._give_up(tx, [*broken, *unreadable])
            if done.orders:
                await self._ordering.order(tx, done.orders, moment)
            done.following, done.waiting = await self._store.next_due(tx)
        if done.missed:
            _log.warning("schedules.missed", count=done.missed)
        if waiting:
            _log.info("schedules.catching_up", count=waiting)
        return done

    async def _plan(
        self, tx: OutboxTransaction, due: Sequence[Stored], moment: datetime, done: Fired, broken: list[Broken]
    ) -> int:
        """Write the firings and the next due times of schedules that are due; those whose times cannot be computed are
        added to `broken`. Returns how many firings wait."""
        new: list[NewFiring] = []
        advances: list[Advance] = []
        looked_at = 0
        by_id = {one.id: one for one in due}
        for schedule in due:
            if looked_at > LOOK_LIMIT or len(new) > FIRE_LIMIT:
                break  # the others are still due, and come next
            try:
                owed = _owed(schedule, moment)
            except NoDueTime as error:
                broken.append(Broken(schedule.id, _due_at(schedule), str(error)))
                continue
            looked_at += owed.looked_at
            new += _firings(schedule, owed, moment)
            advances.append(_advance(schedule, owed))
        await self._store.advance(tx, advances)
        written = await self._firings.insert(tx, new)
        for one in new:
            if one.id not in written:
                _log.warning("schedule.fired_before", schedule_id=one.schedule_id)
            elif one.outcome is FiringOutcome.FIRED:
                schedule = by_id[one.schedule_id]
                target, trace = schedule.definition.target, schedule.traceparent
                by = schedule.created_by
                done.orders.append(Ordered(one.id, one.schedule_id, one.kind, one.due_at, target, trace, by))
                done.lateness.append(max(timedelta(0), moment - _expected(schedule, one.due_at)))
            elif one.outcome is FiringOutcome.MISSED:
                done.missed += one.count
                first = one.first_due_at or one.due_at
                tx.emit(
                    ScheduleMissed(
                        schedule_id=one.schedule_id, count=one.count, first_due_at=first, last_due_at=one.due_at
                    )
                )
        for advance in advances:
            if advance.following is None and by_id[advance.id].definition.timing.recurs:
                tx.emit(ScheduleCompleted(schedule_id=advance.id))
        return sum(one.outcome is FiringOutcome.WAITING for one in new)

    async def _give_up(self, tx: OutboxTransaction, broken: Sequence[Broken]) -> None:
        """Have schedules fire no more that cannot, so that the others go on."""
        missed = [
            NewFiring(new_id(), one.id, FiringKind.TIME, FiringOutcome.MISSED, one.due_at, reason="failed")
            for one in broken
        ]
        await self._firings.insert(tx, missed)
        await self._firings.drop_waiting(tx, [one.id for one in broken], "failed")
        await self._store.fail(tx, broken)
        tx.emit(*(ScheduleFailed(schedule_id=one.id, detail=one.why) for one in broken))
        for one in broken:
            _log.error("schedule.broken", schedule_id=one.id, error=one.why)


def _due_at(schedule: Stored) -> datetime:
    assert schedule.following is not None  # it is due
    return schedule.following.due_at


def _owed(schedule: Stored, moment: datetime) -> Plan:
    """What a schedule owes that is due."""
    definition, due_at = schedule.definition, _due_at(schedule)
    if not definition.timing.recurs:
        return Plan([Due(due_at)], None, due_at, None)
    return plan(
        definition.timing.times(schedule.id),
        due_at,
        moment,
        catch_up=definition.catch_up or "last",
        limit=definition.catch_up_limit or CATCH_UP_LIMIT,
    )


def _firings(schedule: Stored, owed: Plan, moment: datetime) -> Iterable[NewFiring]:
    """The firings to write, the oldest first. Those of a schedule that catches up wait, so as to keep their order."""
    if (missed := owed.missed) is not None:
        yield NewFiring(
            new_id(),
            schedule.id,
            FiringKind.TIME,
            FiringOutcome.MISSED,
            missed.last,
            first_due_at=missed.first if missed.count > 1 else None,
            count=missed.count,
            more=missed.more,
            reason="missed",
        )
    waits = schedule.waiting or any(due.kind is FiringKind.CATCH_UP for due in owed.fires)
    for due in owed.fires:
        outcome, at = (FiringOutcome.WAITING, None) if waits else (FiringOutcome.FIRED, moment)
        yield NewFiring(new_id(), schedule.id, due.kind, outcome, due.at, at)


def _advance(schedule: Stored, owed: Plan) -> Advance:
    slot = None
    if (due := owed.following) is not None:
        slot = Slot(due, schedule.definition.timing.times(schedule.id).fires_at(due))
    status = ScheduleStatus.COMPLETED if slot is None else ScheduleStatus.SCHEDULED
    missed = 0 if owed.missed is None else owed.missed.count
    return Advance(schedule.id, status, slot, owed.last, missed)


def _expected(schedule: Stored, due_at: datetime) -> datetime:
    """When a schedule was to fire for a due time: not before it was made, or changed."""
    timing, following = schedule.definition.timing, schedule.following
    if following is not None and due_at == following.due_at:
        at = following.run_at
    else:
        at = timing.times(schedule.id).fires_at(due_at)
    return max(at, schedule.changed_at or schedule.created_at)


async def purge_schedules(store: ScheduleStore, outbox: Outbox, age: timedelta | None, limit: int) -> int:
    """Delete at most `limit` schedules that have been over for longer than `age` (None: none). Returns the number
    deleted."""
    if age is None:
        return 0
    async with outbox.transaction() as tx:
        deleted = await store.purge(tx, age, limit)
        tx.emit(*(ScheduleDeleted(schedule_id=id) for id in deleted))
    return len(deleted)


class Firing(Loop):
    """Fires schedules when they are due; a loop of the leader, woken when a schedule may be due earlier."""

    def __init__(
        self, schedules: Schedules, bus: Bus, counters: Counters, hold: Hold, *, clock: Callable[[], datetime]
    ) -> None:
        super().__init__("firing", interval=LONGEST_SLEEP)
        self._schedules = schedules
        self._hold = hold
        self._bus = bus
        self._counters = counters
        self._clock = clock
        self._subscriptions: list[Subscription] = []

    async def start(self) -> None:
        try:
            for verb in WAKING:
                subject = self._bus.catalogue.event(f"schedules.{verb}")
                self._subscriptions.append(await self._bus.subscribe(subject, self._changed))
        except BaseException:
            await self._unsubscribe()  # the lifecycle does not stop a service whose start failed
            raise
        await super().start()

    async def stop(self) -> None:
        await self._unsubscribe()
        await super().stop()
        self._counters.firings_waiting.set(0)

    async def run_once(self) -> Counts:
        done = await self._schedules.fire(self._clock(), self._hold)
        self._counters.fired(done.lateness, missed=done.missed, waiting=done.waiting)
        following = LONGEST_SLEEP
        if done.waiting:
            following = 0.0
        elif done.following is not None:
            following = (done.following - self._clock()).total_seconds()
        self.interval = max(0.001, min(LONGEST_SLEEP, following))
        return {"fired": len(done.orders), "missed": done.missed}

    async def _unsubscribe(self) -> None:
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        self._subscriptions = []

    async def _changed(self, _subject: str, _payload: bytes, _reply: str) -> None:
        self.wake()
