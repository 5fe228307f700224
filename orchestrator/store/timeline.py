"""Each job's timeline: its events, stored and read.

Commands, environments, inputs and outputs are left out: they may contain secrets, and the job and its tasks have them.

A row has the entries that were written together, packed (`shared.packing`): JSON objects, one in each line. An entry's
id is the row's id and its place in the row, from 1. Rows that an earlier version wrote have a JSON array instead.
"""

from collections.abc import Iterable, Iterator, Set
from functools import cache
from typing import Final, NamedTuple

from orchestrator.domain.orders import Entry, Queued
from orchestrator.domain.run import JobRun
from orchestrator.store.tables import TimelineRow
from schemas.events import EventData, ScheduleFinished
from schemas.model import rfc3339
from shared.packing import Packing
from shared.postgres import Database, Record, load_queries

ROWS_AT_ONCE: Final = 100
DICTIONARIES: Final = (
    b'{"type":"tasks.approval_requested","data":{"message":"","deadline":"2026-"}}approvedrejected","by":"","comment":""'
    b'"index":0,"matrix":{"tasks.expired"fenced"executions.lost"lost_at":"no heartbeat for 15 sworker_stopped"'
    b'tasks.withdrawn"jobs.cancel_requested"tasks.cancel_requested"jobs.cancelled"tasks.cancelled"reason":"cancelled"'
    b'dependency_cancelled"condition"not_needed"jobs.reprioritized","previous":"normal","priority_changes":1,high"critical"'
    b'low"jobs.waiting"jobs.admitted"tasks.skipped"reason":"dependency_failed","tasks.retrying"run_at":"2026-'
    b'timed_out"reason":"timeout"jobs.failed"tasks.failed","status":"failed","reason":"exit_code","exit_code":1,'
    b'"detail":"","log":{"chunks":1,"lines":10,"bytes":100,'
    b'[{"type":"jobs.created","time":"2026-11-30T10:00:00.000000Z","data":{"job_id":"","name":"","pipeline_id":"'
    b'","pipeline_version":1,"priority":"normal","labels":{},"schedule_id":"","rerun_of":"'
    b'"}}\n{"type":"tasks.queued","time":"2026-11-30T10:00:00.","data":{"task_id":"","job_id":"","attempt":1}}\n'
    b'{"type":"tasks.scheduled","time":"2026-12-01T","data":{"task_id":"","job_id":"","attempt":1,"name":"",'
    b'"execution_id":"","worker_id":"","worker_name":"worker-","incarnation":"","scheduled_at":"2026-"}}\n'
    b'{"type":"executions.started","time":"2027-01-01T","data":{"execution_id":"","task_id":"","job_id":"","attempt":1'
    b',"worker_id":"","worker_name":"worker-","incarnation":"","started_at":"2026-1"}}\n{"type":"jobs.started","time":"'
    b'","data":{"job_id":"'
    b'"}}\n{"type":"executions.finished","time":"","data":{"execution_id":"","task_id":"","job_id":"","attempt":1,'
    b'"worker_id":"","worker_name":"worker-","incarnation":"","status":"succeeded","exit_code":0,"started_at":"2026-",'
    b'"finished_at":"2026-","log":{"chunks":0,"lines":0,"bytes":0,"truncated":false}}}\n{"type":"tasks.succeeded",'
    b'"time":"","data":{"task_id":"","job_id":"","attempt":1,"name":""}}\n{"type":"jobs.succeeded","time":"","data":{'
    b'"job_id":"","name":"","created_at":"2026-","started_at":"2026-","finished_at":"2026-"}}\n',
)

NOT_SHOWN: Final = frozenset({"run", "target", "outputs", "inputs"})
"""Members of events that may hold secrets. Responses leave them out; where a route shows them, they are masked."""
_OF_OTHERS: Final = (ScheduleFinished,)
"""Events of other entities, which say nothing that the job's own events do not."""
_PACKING: Final = Packing(DICTIONARIES)
_TYPE: Final = '{"type":"'


class Told(NamedTuple):
    """An entry as it is answered: its place, the type of its event, and its body as JSON."""

    row: int
    position: int
    type: str
    body: str


class TimelineStore:
    """Reads timelines. They are written together with the jobs and runs, from `timeline_rows`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("orchestrator")

    async def after(self, job_id: str, row: int, position: int, limit: int) -> list[Told]:
        """At most `limit` entries after a place, (0, 0) for the beginning."""
        found: list[Told] = []
        start = row
        while True:
            rows = await self._database.fetch(self._sql["get_timeline"], job_id, start, ROWS_AT_ONCE)
            for one in rows:
                for told in _told(one):
                    if told[:2] > (row, position):
                        found.append(told)
                        if len(found) == limit:
                            return found
            if len(rows) < ROWS_AT_ONCE:
                return found
            start = rows[-1]["row"] + 1

    async def expired(self, job_id: str) -> str | None:
        """The one entry, as JSON, that a job has whose timeline is no longer kept; None for every other job."""
        body: str | None = await self._database.fetch_value(self._sql["expired_timeline"], job_id)
        return body


def timeline_rows(runs: Iterable[JobRun]) -> list[TimelineRow]:
    """The timeline rows of the journals of jobs, one for each job with entries.

    Write them under the lock of the job's row, so that ids ascend in the order of commits.
    """
    return [TimelineRow(run.job.id, packed) for run in runs if (packed := _packed(run.job.id, run.journal))]


def _packed(job_id: str, journal: list[Entry]) -> bytes | None:
    entries = [_entry(job_id, entry) for entry in journal if not isinstance(entry.event, _OF_OTHERS)]
    return _PACKING.pack("\n".join(entries), job_id) if entries else None


def _told(row: Record) -> Iterator[Told]:
    """The entries of a row. JSON texts contain no line breaks: in strings they are written as `\\n`."""
    entries = row["entries"]
    if row["packed"] is not None:
        entries = _PACKING.unpack(row["packed"], row["job_id"]).decode().split("\n")
    for position, entry in enumerate(entries, 1):
        type_ = entry[len(_TYPE) : entry.index('"', len(_TYPE))]
        yield Told(row["row"], position, type_, f'{{"id":"{row["row"]}.{position}",{entry[1:]}')


def _entry(job_id: str, entry: Entry) -> str:
    """An entry as JSON, which begins with the type."""
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
    return f'{_TYPE}{kind}","time":"{rfc3339(entry.at)}","data":{data}}}'


@cache
def _left_out(kind: type[EventData]) -> Set[str]:
    return NOT_SHOWN & kind.model_fields.keys()
