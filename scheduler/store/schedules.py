"""The table of schedules: REST makes, changes and deletes them, the leader advances them.

Not here: their firings (`scheduler.store.firings`), and how lists show them (`scheduler.store.listing`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from scheduler.domain.schedule import Definition, Slot, Stored, Timing
from schemas.access import Actor
from schemas.events import JobTarget, ScheduleCreated
from schemas.ids import first_id_at
from schemas.states import ScheduleStatus
from shared import masking
from shared.clock import now
from shared.postgres import Column, Database, Record, Rows, Transaction, load_queries, with_rows, with_values


@dataclass(frozen=True, slots=True)
class Advance:
    """What a schedule becomes when it has fired: when it is due next, and how many due times it has missed."""

    id: str
    status: ScheduleStatus
    following: Slot | None
    last_due_at: datetime
    missed: int = 0


ADVANCES: Final = Rows[Advance](
    Column("id", "uuid", key=True),
    Column("status", "text"),
    Column("next_due_at", "timestamptz", lambda one: one.following and one.following.due_at),
    Column("next_run_at", "timestamptz", lambda one: one.following and one.following.run_at),
    Column("last_due_at", "timestamptz"),
    Column("missed", "bigint"),
)


@dataclass(frozen=True, slots=True)
class Broken:
    """A schedule with a due time that cannot fire: what is stored of it is not valid any more."""

    id: str
    due_at: datetime
    why: str


@dataclass(frozen=True, slots=True)
class UnheardSchedule:
    """A schedule of which the orchestrator has not confirmed what it runs, as the event that told it."""

    event: ScheduleCreated
    traceparent: str | None


class ScheduleStore:
    """Reads and writes schedules."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("scheduler")
        self._advance = with_rows(self._sql["advance_schedules"], schedules=ADVANCES)

    async def insert(self, tx: Transaction, new: Stored) -> str:
        """Write a new schedule. Returns it as JSON."""
        of = {"id": new.id, "created_at": new.created_at, "traceparent": new.traceparent}
        of["created_by"] = None if new.created_by is None else new.created_by.model_dump()
        query, arguments = with_values(self._sql["insert_schedule"], **of, **_columns(new))
        await tx.execute(query, *arguments)
        return await self.shown(tx, new.id)

    async def change(self, tx: Transaction, changed: Stored, *, unheard: bool) -> str:
        """Write a schedule that was changed; `unheard` if the orchestrator has to confirm what it runs. Returns it as
        JSON."""
        of = {"id": changed.id, "changed_at": changed.changed_at, "unheard": unheard}
        query, arguments = with_values(self._sql["change_schedule"], **of, **_columns(changed))
        await tx.execute(query, *arguments)
        return await self.shown(tx, changed.id)

    async def shown(self, tx: Transaction, id: str) -> str:
        """A schedule as JSON."""
        return str(await tx.fetch_value(self._sql["get_schedule"], id))

    async def read(self, id: str) -> Stored | None:
        """One schedule; None if it does not exist."""
        row = await self._database.fetch_one(self._sql["read_schedule"], id)
        return None if row is None else _stored(row)

    async def lock(self, tx: Transaction, id: str) -> Stored | None:
        """One schedule, which no other transaction fires or changes until this one ends; None if it does not exist."""
        row = await tx.fetch_one(self._sql["lock_schedule"], id)
        return None if row is None else _stored(row)

    async def delete(self, tx: Transaction, id: str) -> bool:
        """Delete a schedule with its history. Returns whether it existed."""
        return await tx.execute(self._sql["delete_schedule"], id) > 0

    async def purge(self, tx: Transaction, age: timedelta, limit: int) -> list[str]:
        """Delete at most `limit` schedules that will not fire any more and that fired last longer ago than `age`.
        Returns their ids."""
        moment = now() - age
        rows = await tx.fetch(self._sql["purge_schedules"], moment, first_id_at(moment), limit)
        return [row["id"] for row in rows]

    async def lock_due(self, tx: Transaction, moment: datetime, limit: int) -> tuple[list[Stored], list[Broken]]:
        """At most `limit` schedules that are due at `moment`, locked so that no other process fires them; and those of
        them whose target cannot be read."""
        due, broken = [], []
        for row in await tx.fetch(self._sql["due_schedules"], moment, limit):
            try:
                due.append(_stored(row))
            except ValidationError as error:
                broken.append(Broken(row["id"], row["next_due_at"] or row["next_run_at"], unreadable(error)))
        return due, broken

    async def fail(self, tx: Transaction, broken: Sequence[Broken]) -> None:
        """Have schedules fire no more."""
        await tx.execute(self._sql["fail_schedules"], [one.id for one in broken], [one.why for one in broken])

    async def advance(self, tx: Transaction, advances: Sequence[Advance]) -> None:
        """Write what schedules become when they have fired or missed a due time."""
        await tx.execute(self._advance, *ADVANCES.arrays(advances))

    async def next_due(self, tx: Transaction) -> tuple[datetime | None, int]:
        """When the next schedule fires, None if none does, and how many firings wait."""
        row = await tx.fetch_one(self._sql["next_due"])
        assert row is not None  # a select without FROM gives one row
        return row["next_run_at"], row["waiting"]

    async def lock_unheard(self, tx: Transaction, seconds: float, limit: int) -> list[UnheardSchedule]:
        """Schedules that were made more than `seconds` ago and of which the orchestrator has not confirmed what they
        run."""
        rows = await tx.fetch(self._sql["unheard_schedules"], seconds, limit)
        return [
            UnheardSchedule(
                ScheduleCreated(
                    schedule_id=row["id"],
                    target=JobTarget.model_validate(row["target"]),
                    next_run_at=row["next_run_at"],
                    created_by=row["created_by"],
                ),
                row["traceparent"],
            )
            for row in rows
        ]


def unreadable(error: ValidationError) -> str:
    """Why a target cannot be read, in words."""
    [first, *_] = error.errors(include_input=False, include_url=False)
    return f"what it runs is not valid any more: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def _columns(schedule: Stored) -> dict[str, object]:
    """The columns that a request decides."""
    target, timing, following = schedule.definition.target, schedule.definition.timing, schedule.following
    env = target.env if target.command is None else {**target.command.env, **target.env}
    return {
        "status": schedule.status,
        "name": target.name,
        "target": target.model_dump(mode="json", exclude_none=True),
        "shown": {"env": masking.shown(env), "params": masking.shown_params(target.params)},
        "job_id": target.job_id,
        "pipeline_id": target.pipeline_id,
        "run_at": timing.run_at,
        "cron": timing.cron,
        "timezone": timing.timezone,
        "every": timing.every,
        "anchor": timing.anchor,
        "starts_at": timing.starts_at,
        "ends_at": timing.ends_at,
        "jitter": timing.jitter,
        "catch_up": schedule.definition.catch_up,
        "catch_up_limit": schedule.definition.catch_up_limit,
        "description": timing.words(),
        "next_due_at": following and following.due_at,
        "next_run_at": following and following.run_at,
    }


def _stored(row: Record) -> Stored:
    timing = Timing(
        anchor=row["anchor"] or row["created_at"],
        run_at=row["run_at"],
        cron=row["cron"],
        timezone=row["timezone"],
        every=row["every"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        jitter=row["jitter"],
    )
    run_at = row["next_run_at"]
    return Stored(
        id=row["id"],
        created_at=row["created_at"],
        created_by=None if row["created_by"] is None else Actor.model_validate(row["created_by"]),
        status=ScheduleStatus(row["status"]),
        definition=Definition(JobTarget.model_validate(row["target"]), timing, row["catch_up"], row["catch_up_limit"]),
        following=None if run_at is None else Slot(row["next_due_at"] or run_at, run_at),
        last_due_at=row["last_due_at"],
        traceparent=row["traceparent"],
        changed_at=row["changed_at"],
        waiting=row["waiting"],
    )
