"""What is due to be deleted: reads the tables in pages, each bounded by a number of rows. `jobs` deletes the jobs."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from shared.postgres import Database, load_queries


@dataclass(frozen=True, slots=True)
class JobDue:
    """A job of a page: whether it is due, and then the number of its tasks."""

    id: str
    due: bool
    tasks: int = 1


class RetentionStore:
    """Reads what is due, and deletes timelines."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("orchestrator")

    async def newest_over(self, below: str, limit: int) -> tuple[int, str]:
        """Count at most `limit` jobs that have ended, the newest first, with ids below one. Returns the count and the
        lowest of their ids."""
        row = await self._database.fetch_one(self._sql["newest_jobs_over"], below, limit)
        return (0, below) if row is None or row["lowest"] is None else (row["count"], row["lowest"])

    async def jobs(
        self, after: str, before: str, *, ended_before: datetime | None, below: str, keep: int, limit: int
    ) -> list[JobDue]:
        """A page of jobs in the order of their ids, between `after` and `before`. Due are those that ended before a
        moment or have an id below one, except for the last `keep` of each pipeline."""
        values = after, before, ended_before, below, keep, limit
        rows = await self._database.fetch(self._sql["jobs_to_purge"], *values)
        return [JobDue(row["id"], bool(row["due"]), row["tasks"]) for row in rows]

    async def oldest_job(self, after: str, limit: int) -> datetime | None:
        """The earliest end among the first `limit` jobs with an id above one."""
        moment: datetime | None = await self._database.fetch_value(self._sql["oldest_job_over"], after, limit)
        return moment

    async def timelines(self, after: str, before: str, *, ended_before: datetime, limit: int) -> list[JobDue]:
        """A page of jobs as in `jobs`. Due are those that ended before a moment and still have their timeline."""
        rows = await self._database.fetch(self._sql["timelines_to_purge"], after, before, ended_before, limit)
        return [JobDue(row["id"], bool(row["due"])) for row in rows]

    async def delete_timelines(self, job_ids: Collection[str]) -> None:
        """Delete the timelines of jobs."""
        await self._database.execute(self._sql["delete_timelines"], list(job_ids))

    async def superseded(
        self, after: tuple[str, int], *, made_before: datetime, limit: int
    ) -> list[tuple[str, int, bool]]:
        """A page of versions as (pipeline id, version, due), in this order, after one. Due are those whose next version
        was made before a moment."""
        rows = await self._database.fetch(self._sql["superseded_versions"], *after, made_before, limit)
        return [(row["pipeline_id"], row["version"], row["due"]) for row in rows]

    async def versions_of_jobs(self, pipeline_id: str, below: str, limit: int) -> tuple[set[int], str | None]:
        """The versions that the newest `limit` jobs of a pipeline name, among those with ids below one; and the lowest
        of these ids, None if there are no more jobs."""
        row = await self._database.fetch_one(self._sql["versions_of_jobs"], pipeline_id, below, limit)
        assert row is not None  # it has no FROM
        return set(row["versions"]), row["lowest"] if row["count"] == limit else None

    async def delete_versions(self, pipeline_id: str, versions: Collection[int]) -> int:
        """Delete versions of a pipeline, but never its last one. Returns the number deleted."""
        return await self._database.execute(self._sql["delete_versions"], pipeline_id, list(versions))

    async def archived(self, after: str, *, archived_before: datetime, limit: int) -> list[tuple[str, bool]]:
        """A page of archived pipelines as (id, due), in the order of their ids. Due are those that were archived before
        a moment and have no jobs."""
        rows = await self._database.fetch(self._sql["archived_pipelines"], after, archived_before, limit)
        return [(row["id"], bool(row["due"])) for row in rows]

    async def delete_pipelines(self, pipeline_ids: Collection[str]) -> int:
        """Delete archived pipelines and their versions. Returns the number of pipelines."""
        return await self._database.execute(self._sql["delete_pipelines"], list(pipeline_ids))
