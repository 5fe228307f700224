"""Executions that are no longer kept: found in pages, and deleted in bounded numbers."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from shared.postgres import Database, load_queries


@dataclass(frozen=True, slots=True)
class KeptExecution:
    """An execution of a page. `settled`: without its job it is of no use."""

    id: str
    job_id: str
    old: bool
    settled: bool


class RetentionStore:
    """Reads what is due, and deletes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("worker_manager")

    async def delete_of_jobs(self, job_ids: Collection[str], limit: int) -> int:
        """Delete at most `limit` executions of these jobs. Returns the number deleted."""
        return await self._database.execute(self._sql["delete_executions_of_jobs"], list(job_ids), limit)

    async def page(self, after: str, before: str, ended_before: datetime | None, limit: int) -> list[KeptExecution]:
        """A page of executions in the order of their ids, between `after` and `before`. Old are those that ended before
        a moment."""
        rows = await self._database.fetch(self._sql["executions_to_purge"], after, before, ended_before, limit)
        return [KeptExecution(row["id"], row["job_id"], row["old"], row["settled"]) for row in rows]

    async def delete(self, execution_ids: Collection[str]) -> int:
        """Delete executions. Returns the number deleted."""
        return await self._database.execute(self._sql["delete_executions"], list(execution_ids))

    async def oldest(self, after: str, limit: int) -> datetime | None:
        """The earliest end among the first `limit` executions with an id above one."""
        moment: datetime | None = await self._database.fetch_value(self._sql["oldest_execution_over"], after, limit)
        return moment
