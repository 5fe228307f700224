"""Each job's timeline: what happened, as it is kept and read.

The commands and their environments are left out: they may carry secrets, and a job's definition is elsewhere.
"""

from collections.abc import Iterable
from typing import Final

from orchestrator.domain.run import Entry, Queued
from schemas.model import rfc3339
from shared import queries
from shared.database import Database, Record, Transaction

_LEFT_OUT: Final = {"run", "target"}


class TimelineStore:
    """To be written under the lock of the job's row, so that ids ascend in the order of commits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = queries.load("orchestrator")

    async def append(self, tx: Transaction, journals: Iterable[tuple[str, list[Entry]]]) -> None:
        """Add the entries of jobs, one row for each job."""
        rows = [(job_id, _entries(job_id, journal)) for job_id, journal in journals if journal]
        if rows:
            ids, entries = zip(*rows, strict=True)
            await tx.execute(self._sql["insert_timeline"], list(ids), list(entries))

    async def after(self, job_id: str, row: int, position: int, limit: int) -> list[Record]:
        """Entries after one: `row`, `position`, `type` and `body` (JSON)."""
        return await self._database.fetch(self._sql["get_timeline"], job_id, row, position, limit)


def _entries(job_id: str, journal: list[Entry]) -> str:
    return "[" + ",".join(_entry(job_id, entry) for entry in journal) + "]"


def _entry(job_id: str, entry: Entry) -> str:
    event = entry.event
    if isinstance(event, Queued):
        kind = "tasks.queued"
        run_at = f',"run_at":"{rfc3339(event.run_at)}"' if event.run_at else ""
        data = f'{{"task_id":"{event.task_id}","job_id":"{job_id}","attempt":{event.attempt}{run_at}}}'
    else:
        kind = event.event_type
        data = event.model_dump_json(exclude=_LEFT_OUT, exclude_none=True)
    return f'{{"type":"{kind}","time":"{rfc3339(entry.at)}","data":{data}}}'
