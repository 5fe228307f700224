"""What other services need to know before they delete something."""

from collections.abc import Sequence

from shared.postgres import Database, load_queries


class RetentionStore:
    """Reads what the scheduler needs of others."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("scheduler")

    async def scheduled_jobs(self, job_ids: Sequence[str]) -> list[str]:
        """Those of these jobs that a schedule will run again."""
        return [row["id"] for row in await self._database.fetch(self._sql["scheduled_jobs"], job_ids)]
