"""The table of firings: the result of each due time of a schedule, and the answer of the orchestrator."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from pydantic import ValidationError

from scheduler.store.schedules import Broken, unreadable
from schemas.access import Actor
from schemas.events import JobTarget, ScheduleConfirmed, ScheduleFinished, ScheduleFired, ScheduleRefused
from schemas.ids import LOWEST
from schemas.refusals import RefusalReason
from schemas.rest.schedules import FIRINGS_KEPT
from schemas.states import FiringKind, FiringOutcome, Reason
from shared.postgres import Column, Database, Page, Record, Rows, Transaction, load_queries, narrowed, with_rows

_log = structlog.get_logger(__name__)

START: Final = LOWEST
_GONE: Final = frozenset({RefusalReason.NOT_FOUND, RefusalReason.CONFLICT})
"""Reasons for which the next firing would be refused as well."""


@dataclass(frozen=True, slots=True)
class NewFiring:
    """A firing to write. `first_due_at` and `count` are of a range of due times that were missed, up to `due_at`."""

    id: str
    schedule_id: str
    kind: FiringKind
    outcome: FiringOutcome
    due_at: datetime
    fired_at: datetime | None = None
    first_due_at: datetime | None = None
    count: int = 1
    more: bool = False
    reason: str | None = None
    triggered_by: Actor | None = None


@dataclass(frozen=True, slots=True)
class Ordered:
    """A firing whose job is ordered by its event."""

    id: str
    schedule_id: str
    kind: FiringKind
    due_at: datetime
    target: JobTarget
    traceparent: str | None
    created_by: Actor | None
    """Who created the schedule."""
    triggered_by: Actor | None = None

    def event(self) -> ScheduleFired:
        """The order."""
        return ScheduleFired(
            schedule_id=self.schedule_id,
            job_id=self.id,
            target=self.target,
            due_at=self.due_at,
            kind=self.kind,
            created_by=self.created_by,
            triggered_by=self.triggered_by,
        )


@dataclass(frozen=True, slots=True)
class FailedSchedule:
    """A schedule that fires no more, and why."""

    id: str
    detail: str


NEW: Final = Rows[NewFiring](
    Column("id", "uuid", key=True),
    Column("schedule_id", "uuid"),
    Column("kind", "text"),
    Column("outcome", "text"),
    Column("due_at", "timestamptz"),
    Column("fired_at", "timestamptz"),
    Column("first_due_at", "timestamptz"),
    Column("count", "integer"),
    Column("more", "boolean"),
    Column("reason", "text"),
    Column("triggered_by", "jsonb", lambda one: one.triggered_by and one.triggered_by.model_dump()),
)


class FiringStore:
    """Reads and writes firings."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("scheduler")
        self._insert = with_rows(self._sql["insert_firings"], firings=NEW)

    async def insert(self, tx: Transaction, firings: Sequence[NewFiring]) -> frozenset[str]:
        """Write firings. Returns the ids of those written: for a due time that has one already, there is no second."""
        rows = await tx.fetch(self._insert, *NEW.arrays(firings))
        return frozenset(row["id"] for row in rows)

    async def mark_fired(self, tx: Transaction, fired: Sequence[tuple[str, str]], moment: datetime) -> None:
        """Record in schedules that they fired: pairs of a schedule's id and its job's, in the order of firing."""
        latest = dict(fired)
        await tx.execute(self._sql["mark_fired"], list(latest), list(latest.values()), moment)

    async def lock_waiting(self, tx: Transaction, limit: int) -> tuple[list[Ordered], list[Broken]]:
        """At most `limit` firings that wait, the oldest first, locked with their schedules; and the schedules of those
        whose target cannot be read."""
        orders: list[Ordered] = []
        broken: dict[str, Broken] = {}
        for row in await tx.fetch(self._sql["waiting_firings"], limit):
            try:
                orders.append(_ordered(row))
            except ValidationError as error:
                broken.setdefault(row["schedule_id"], Broken(row["schedule_id"], row["due_at"], unreadable(error)))
        return orders, list(broken.values())

    async def fire_waiting(self, tx: Transaction, firings: Sequence[Ordered], moment: datetime) -> None:
        """Mark firings that waited as fired."""
        await tx.execute(self._sql["fire_waiting"], [one.id for one in firings], moment)

    async def drop_waiting(self, tx: Transaction, schedule_ids: Sequence[str], why: str) -> None:
        """The waiting firings of these schedules are missed."""
        await tx.execute(self._sql["drop_waiting"], list(schedule_ids), why)

    async def prune(self, tx: Transaction, schedule_ids: Sequence[str]) -> int:
        """Delete all but the last firings of each of these schedules. Returns the number deleted."""
        return await tx.execute(self._sql["prune_firings"], list(schedule_ids), FIRINGS_KEPT)

    async def history(self, schedule_id: str, before: str | None, limit: int) -> Page:
        """A page of a schedule's firings as JSON, the last ones first."""
        until = None if before is None else datetime.fromisoformat(before)
        sql, arguments = narrowed(self._sql["list_firings"], schedule_id, until, limit + 1)
        return Page.of(await self._database.fetch(sql, *arguments), limit)

    async def confirm(self, tx: Transaction, confirmed: Sequence[ScheduleConfirmed]) -> None:
        """Record that the orchestrator knows what schedules run, and has created the jobs of firings."""
        schedule_ids = sorted({one.schedule_id for one in confirmed})
        await tx.fetch(self._sql["lock_schedules"], schedule_ids)
        await tx.execute(self._sql["confirm_schedules"], schedule_ids)
        if job_ids := [one.job_id for one in confirmed if one.job_id is not None]:
            await tx.execute(self._sql["confirm_firings"], job_ids)

    async def finish(self, tx: Transaction, finished: Sequence[ScheduleFinished]) -> None:
        """Write how the jobs of firings ended."""
        await tx.execute(
            self._sql["finish_firings"],
            [one.job_id for one in finished],
            [FiringOutcome(one.status.value).value for one in finished],
            [None if one.reason is None else Reason(one.reason).value for one in finished],
            [one.finished_at for one in finished],
        )

    async def refuse(self, tx: Transaction, refusals: Sequence[ScheduleRefused]) -> list[FailedSchedule]:
        """Write what the orchestrator has refused: schedules, or firings of them. Returns the schedules that fire no
        more because of that. One that was removed meanwhile stays removed."""
        await tx.fetch(self._sql["lock_schedules"], sorted({one.schedule_id for one in refusals}))
        failed: dict[str, str] = {}
        if made := {one.schedule_id: one.detail for one in refusals if one.job_id is None}:
            rows = await tx.fetch(self._sql["refuse_schedules"], list(made), list(made.values()))
            failed |= {row["id"]: row["detail"] for row in rows}
        fired = {one.job_id: one for one in refusals if one.job_id is not None}
        if fired:
            failed |= await self._refuse_fired(tx, fired)
        if failed:
            await self.drop_waiting(tx, list(failed), "failed")
        return [FailedSchedule(id, detail) for id, detail in failed.items()]

    async def _refuse_fired(self, tx: Transaction, fired: dict[str, ScheduleRefused]) -> dict[str, str]:
        rows = await tx.fetch(
            self._sql["refuse_firings"],
            list(fired),
            [
                FiringOutcome.SKIPPED if one.reason is RefusalReason.OVERLAP else FiringOutcome.REFUSED
                for one in fired.values()
            ],
            [one.reason for one in fired.values()],
            [one.detail for one in fired.values()],
        )
        # Only the worst refusal of a schedule changes it.
        news = sorted(((fired[row["id"]], row["fired_at"]) for row in rows), key=lambda new: new[0].reason in _GONE)
        worst = {one.schedule_id: (one, fired_at) for one, fired_at in news}
        if not worst:
            return {}
        changed = await tx.fetch(
            self._sql["refuse_fired_schedules"],
            list(worst),
            [one.detail for one, _ in worst.values()],
            [one.reason for one, _ in worst.values()],
            [one.reason in _GONE for one, _ in worst.values()],
            [fired_at for _, fired_at in worst.values()],
        )
        return {row["id"]: row["detail"] for row in changed if row["fails"]}

    async def unheard(self, seconds: float, after: str, limit: int) -> list[Ordered]:
        """Firings after an id that were ordered more than `seconds` ago and that the orchestrator has not confirmed."""
        orders: list[Ordered] = []
        for row in await self._database.fetch(self._sql["unheard_firings"], seconds, limit, after):
            try:
                orders.append(_ordered(row))
            except ValidationError as error:  # its schedule fails when it is due next
                _log.warning("firing.unreadable", schedule_id=row["schedule_id"], error=unreadable(error))
        return orders

    async def open(self, seconds: float, after: str, limit: int) -> list[str]:
        """The jobs after an id that were created more than `seconds` ago and are not known to be over."""
        rows = await self._database.fetch(self._sql["open_firings"], seconds, limit, after)
        return [row["id"] for row in rows]

    async def forget(self, job_ids: Sequence[str]) -> None:
        """The jobs of these firings were deleted: how they ended is not known any more."""
        await self._database.execute(self._sql["forget_firings"], job_ids)


def _ordered(row: Record) -> Ordered:
    return Ordered(
        row["id"],
        row["schedule_id"],
        FiringKind(row["kind"]),
        row["due_at"],
        JobTarget.model_validate(row["target"]),
        row["traceparent"],
        _actor(row["created_by"]),
        _actor(row["triggered_by"]),
    )


def _actor(value: dict[str, str] | None) -> Actor | None:
    return None if value is None else Actor.model_validate(value)
