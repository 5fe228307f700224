"""Each job's timeline: its events, stored and read.

Commands, environments, inputs and outputs are left out: they may contain secrets, and the job and its tasks have them.
"""

from collections.abc import Iterable, Set
from functools import cache
from typing import Final

from orchestrator.domain.orders import Entry, Queued
from orchestrator.domain.run import JobRun
from orchestrator.store.tables import TimelineRow
from schemas.events import EventData, ScheduleFinished
from schemas.model import rfc3339
from shared.postgres import Database, Record, load_queries

_LEFT_OUT: Final = {"run", "target", "outputs", "inputs"}

_OF_OTHERS: Final = (ScheduleFinished,)
"""Events of other entities, which say nothing that the job's own events do not."""


class TimelineStore:
    """Reads timelines. They are written together with the jobs and runs, from `timeline_rows`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("orchestrator")

    async def after(self, job_id: str, row: int, position: int, limit: int) -> list[Record]:
        """Entries after a position: `row`, `position`, `type` and `body` (JSON)."""
        return await self._database.fetch(self._sql["get_timeline"], job_id, row, position, limit)


def timeline_rows(runs: Iterable[JobRun]) -> list[TimelineRow]:
    """The timeline rows of the journals of jobs, one for each job with entries.

    Write them under the lock of the job's row, so that ids ascend in the order of commits.
    """
    return [TimelineRow(run.job.id, _entries(run.job.id, run.journal)) for run in runs if run.journal]


def _entries(job_id: str, journal: list[Entry]) -> str:
    return "[" + ",".join(_entry(job_id, entry) for entry in journal if not isinstance(entry.event, _OF_OTHERS)) + "]"


def _entry(job_id: str, entry: Entry) -> str:
    event = entry.event
    if isinstance(event, Queued):
        kind = "tasks.queued"
        run_at = f',"run_at":"{rfc3339(event.run_at)}"' if event.run_at else ""
        data = f'{{"task_id":"{event.task_id}","job_id":"{job_id}","attempt":{event.attempt}{run_at}}}'
    else:
        kind = event.event_type
        # Leaving a field out costs half as much again as the rest; most outcomes have no outputs.
        left_out = {name for name in _left_out(type(event)) if getattr(event, name) is not None}
        data = event.__pydantic_serializer__.to_json(event, exclude=left_out or None, exclude_none=True).decode()
    return f'{{"type":"{kind}","time":"{rfc3339(entry.at)}","data":{data}}}'


@cache
def _left_out(kind: type[EventData]) -> Set[str]:
    return _LEFT_OUT & kind.model_fields.keys()
