"""The table of schedules: REST creates and deletes them, the leader fires and confirms them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.events import EventData, JobTarget, ScheduleConfirmed, ScheduleCreated, ScheduleFired, ScheduleRefused
from shared.postgres import Database, Record, Transaction, load_queries


@dataclass(frozen=True, slots=True)
class DueSchedule:
    """A schedule that is due."""

    id: str
    target: JobTarget
    due_at: datetime
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class UnheardSchedule:
    """The last event of a schedule that the orchestrator has not confirmed."""

    event: EventData
    traceparent: str | None


class ScheduleStore:
    """Reads and writes schedules."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("scheduler")

    async def insert(
        self,
        tx: Transaction,
        *,
        id: str,
        name: str | None,
        target: JobTarget,
        job_id: str | None,
        pipeline_id: str | None,
        run_at: datetime | None,
        due_at: datetime,
        created_at: datetime,
        traceparent: str | None,
    ) -> str:
        """Write a new schedule. Returns it as JSON."""
        shown = target.model_dump(mode="json", exclude_none=True)
        await tx.execute(
            self._sql["insert_schedule"],
            id,
            name,
            shown,
            job_id,
            pipeline_id,
            run_at,
            due_at,
            created_at,
            traceparent,
        )
        return str(await tx.fetch_value(self._sql["get_schedule"], id))

    async def delete(self, tx: Transaction, id: str) -> bool:
        """Delete a schedule. Returns whether it existed."""
        return await tx.execute(self._sql["delete_schedule"], id) > 0

    async def lock_due(self, tx: Transaction, moment: datetime, limit: int) -> list[DueSchedule]:
        """At most `limit` schedules that are due at `moment`, locked so that no other process fires them."""
        return [
            DueSchedule(row["id"], JobTarget.model_validate(row["target"]), row["next_run_at"], row["traceparent"])
            for row in await tx.fetch(self._sql["due_schedules"], moment, limit)
        ]

    async def mark_fired(
        self, tx: Transaction, due: Sequence[DueSchedule], job_ids: Sequence[str], moment: datetime
    ) -> None:
        """Mark these schedules as fired, with their jobs' ids in the same order."""
        await tx.execute(self._sql["mark_fired"], [one.id for one in due], list(job_ids), moment)

    async def next_due(self, tx: Transaction) -> float | None:
        """Seconds until the next schedule is due; None if there is none."""
        seconds: float | None = await tx.fetch_value(self._sql["next_due"])
        return seconds

    async def confirm(self, confirmed: Sequence[ScheduleConfirmed]) -> None:
        """Record that the orchestrator has confirmed these schedules."""
        await self._database.execute(
            self._sql["confirm_schedules"],
            [one.schedule_id for one in confirmed],
            [one.job_id for one in confirmed],
        )

    async def refuse(self, refusals: Sequence[ScheduleRefused]) -> None:
        """Mark these schedules as failed; one that was removed meanwhile stays removed."""
        await self._database.execute(
            self._sql["refuse_schedules"],
            [refusal.schedule_id for refusal in refusals],
            [refusal.detail for refusal in refusals],
        )

    async def lock_unheard(self, tx: Transaction, seconds: float, limit: int) -> list[UnheardSchedule]:
        """Schedules that were made or fired more than `seconds` ago and that the orchestrator has not confirmed."""
        rows = await tx.fetch(self._sql["unheard_schedules"], seconds, limit)
        return [UnheardSchedule(_last_event(row), row["traceparent"]) for row in rows]


def _last_event(row: Record) -> EventData:
    target = JobTarget.model_validate(row["target"])
    if row["last_job_id"] is None:
        return ScheduleCreated(schedule_id=row["id"], target=target, next_run_at=row["next_run_at"])
    return ScheduleFired(schedule_id=row["id"], job_id=row["last_job_id"], target=target, due_at=row["last_run_at"])
