"""Firings of schedules whose jobs were refused, or made and deleted. A firing whose event comes again gets the same
answer, even if its job could be made by now, because the schedule's history has the first answer."""

from datetime import timedelta
from typing import Final

from schemas.events import ScheduleRefused
from schemas.subjects import EVENTS
from shared.clock import now
from shared.postgres import Database, Transaction, load_queries

KEPT: Final = timedelta(seconds=EVENTS.max_age) + timedelta(days=1)
"""How long a refusal, or the note of a deleted job, is kept: longer than the stream keeps the firing."""


class FiringStore:
    """The tables of refusals and of deleted jobs. `orchestrator.store.jobs` writes the latter."""

    def __init__(self, database: Database) -> None:
        self._database = database
        sql = load_queries("orchestrator")
        self._get, self._keep, self._purge = sql["get_refusal"], sql["keep_refusal"], sql["purge_refusals"]
        self._was_deleted, self._purge_deleted = sql["was_deleted"], sql["purge_deleted_firings"]

    async def refusal(self, tx: Transaction, job_id: str) -> ScheduleRefused | None:
        """How the firing that ordered this job was refused; None if it was not."""
        found: str | None = await tx.fetch_value(self._get, job_id)
        return None if found is None else ScheduleRefused.model_validate_json(found)

    async def was_deleted(self, tx: Transaction, job_id: str) -> bool:
        """Whether the job of a firing was made and has been deleted."""
        found: bool = await tx.fetch_value(self._was_deleted, job_id)
        return found

    async def keep(self, tx: Transaction, refusal: ScheduleRefused) -> None:
        """Note the refusal of a firing."""
        await tx.execute(self._keep, refusal.job_id, refusal.model_dump_json(exclude_none=True))

    async def purge(self, limit: int) -> int:
        """Delete at most `limit` refusals of firings whose events cannot come again. Returns the number deleted."""
        return await self._database.execute(self._purge, now() - KEPT, limit)

    async def purge_deleted(self, limit: int) -> int:
        """Delete at most `limit` notes of deleted jobs, for firings whose events cannot come again. Returns the number
        deleted."""
        return await self._database.execute(self._purge_deleted, now() - KEPT, limit)
