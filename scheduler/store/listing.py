"""The reads of REST: pages and single rows as JSON text from SQL, and the facts for an explanation.

Works on any replica, and changes nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from scheduler.domain.explain import Candidate
from scheduler.domain.model import Outcome, Shape, StepFields, Task, TaskState
from scheduler.domain.reservations import held_room
from scheduler.store.rows import step_of, worker_of
from scheduler.store.tables import STORED
from schemas.ids import is_id
from schemas.rest.lists import of_actor, of_name, pairs
from schemas.rest.schedules import QueueQuery, ScheduleQuery
from schemas.rest.workers import RegisteredWorkerQuery
from schemas.specs import PRIORITY_RANK, Resources
from shared.postgres import Database, Page, Record, load_queries, narrowed_by, with_rows


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """Where a page of the queue ended. `as_of` is the time by which all pages decide what is due; `position` counts
    from 1."""

    as_of: datetime
    delayed: bool
    priority: int
    ready_at: datetime
    task_id: str
    position: int


@dataclass(frozen=True, slots=True)
class KnownTask:
    """The facts of a task for an explanation."""

    task_id: str
    job_id: str
    attempt: int
    state: TaskState
    priority: int
    shape: Shape
    ready_at: datetime
    delayed: bool
    worker_id: str | None
    worker_name: str | None
    execution_id: str | None
    shuns: tuple[str, ...]
    outcome: Outcome | None


_NOTHING: Final = Page([])


class Listing:
    """The read queries of REST."""

    def __init__(self, database: Database) -> None:
        self._database = database
        sql = load_queries("scheduler")
        self._list_schedules, self._get_schedule = sql["list_schedules"], sql["get_schedule"]
        self._list_workers, self._get_worker = sql["list_workers"], sql["get_worker"]
        self._ready, self._delayed = sql["queue_ready"], sql["queue_delayed"]
        self._find_task, self._position = with_rows(sql["find_task"], tasks=STORED), sql["task_position"]
        self._to_explain, self._count_offline = sql["workers_to_explain"], sql["count_offline"]

    async def schedules(self, query: ScheduleQuery, before: str | None) -> Page:
        if not _may_match(query.job_id, query.pipeline_id):
            return _NOTHING
        status = None if query.status is None else query.status.value
        values = {
            "before": before,
            "status": status,
            "job_id": query.job_id,
            "pipeline_id": query.pipeline_id,
            **of_name(query.name),
            **of_actor("created_by", query.created_by),
            "limit": query.limit + 1,
        }
        sql, arguments = narrowed_by(self._list_schedules, values)
        return Page.of(await self._database.fetch(sql, *arguments), query.limit)

    async def schedule(self, id: str) -> str | None:
        """One schedule as JSON, or None."""
        found: str | None = await self._database.fetch_value(self._get_schedule, id)
        return found

    async def workers(self, query: RegisteredWorkerQuery, before: str | None) -> Page:
        if not _may_match(query.reserved_for):
            return _NOTHING
        status = None if query.status is None else query.status.value
        values = {
            "before": before,
            "status": status,
            "type": query.type,
            **of_name(query.name),
            "has_agent": query.has_agent,
            "drained": query.drained,
            **of_actor("drained_by", query.drained_by),
            "labels": query.labels() or None,
            "reserved_for": query.reserved_for,
            "limit": query.limit + 1,
        }
        sql, arguments = narrowed_by(self._list_workers, values)
        return Page.of(await self._database.fetch(sql, *arguments), query.limit)

    async def worker(self, id: str) -> str | None:
        """One worker as JSON, or None."""
        found: str | None = await self._database.fetch_value(self._get_worker, id)
        return found

    async def queue(
        self, query: QueueQuery, now: datetime, after: QueuePlace | None
    ) -> tuple[list[str], QueuePlace | None]:
        """A page of waiting tasks as JSON, in the order in which they would run, those not yet due last; and where it
        ended, None on the last page."""
        if not _may_match(query.job_id):
            return [], None
        as_of = now if after is None else after.as_of
        rank = None if query.priority is None else PRIORITY_RANK[query.priority]
        values: dict[str, object] = {
            "as_of": as_of,
            "priority": rank,
            "job_id": query.job_id,
            "name": query.name,
            "attempt": query.attempt,
            "requires": pairs(query.requires) or None,
            "labels": query.labels() or None,
        }
        position = 0 if after is None else after.position
        found: list[tuple[Record, bool]] = []
        want = query.limit + 1
        if after is None or not after.delayed:
            start = _start(after) | {"limit": want, "before": position}
            sql, arguments = narrowed_by(self._ready, values | start)
            rows = await self._database.fetch(sql, *arguments)
            found = [(row, False) for row in rows]
        if len(found) < want:
            onward = _start(after if after is not None and after.delayed else None)
            onward |= {"limit": want - len(found), "before": position + len(found)}
            sql, arguments = narrowed_by(self._delayed, values | onward)
            rows = await self._database.fetch(sql, *arguments)
            found += [(row, True) for row in rows]
        page = found[: query.limit]
        if len(found) <= query.limit:
            return [row["body"] for row, _ in page], None
        last, delayed = page[-1]
        place = QueuePlace(as_of, delayed, last["priority"], last["ready_at"], last["task_id"], position + len(page))
        return [row["body"] for row, _ in page], place

    async def task(self, id: str) -> KnownTask | None:
        """One task that waits, is placed, or ended recently; None if it is unknown."""
        row = await self._database.fetch_one(self._find_task, id)
        if row is None:
            return None
        return KnownTask(
            task_id=row["task_id"],
            job_id=row["job_id"],
            attempt=row["attempt"],
            state=TaskState(row["status"]),
            priority=row["priority"],
            shape=Shape.of(step_of(row)),
            ready_at=row["ready_at"],
            delayed=row["delayed"],
            worker_id=row["worker_id"],
            worker_name=row["worker_name"],
            execution_id=row["execution_id"],
            shuns=tuple(row["shuns"] or ()),
            outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        )

    async def position(self, task: KnownTask) -> int:
        """The task's place among the tasks that could run; 1 is next."""
        before = await self._database.fetch_value(self._position, task.priority, task.ready_at, task.task_id)
        return int(before) + 1

    async def offline(self) -> int:
        """How many workers are offline."""
        return int(await self._database.fetch_value(self._count_offline))

    async def candidates(self) -> list[Candidate]:
        """Every worker that is not offline, with its load, oldest first."""
        found = []
        for row in await self._database.fetch(self._to_explain):
            worker = worker_of(row)
            worker.busy = row["busy"]
            worker.used = (row["cpu_m"], row["memory_mb"], row["gpu"])
            worker.has_agent = row["has_agent"]
            kept_for = _kept_for(row)
            found.append(Candidate(worker, None if kept_for is None else held_room(worker, kept_for)))
        return found


def _start(after: QueuePlace | None) -> dict[str, object]:
    """The place in the queue after which a page starts."""
    if after is None:
        return {"rank": None, "ready_at": None, "task_id": None}
    return {"rank": after.priority, "ready_at": after.ready_at, "task_id": after.task_id}


def _kept_for(row: Record) -> Task | None:
    """The task that a worker is reserved for."""
    if row["reserved_for"] is None:
        return None
    needs, ready_at = row["reserved_resources"], row["reserved_ready_at"]
    return Task(
        task_id=row["reserved_for"],
        job_id="",
        attempt=1,
        name="",
        priority=row["reserved_priority"],
        shape=Shape.of(StepFields(resources=None if needs is None else Resources(**needs))),
        queued_at=ready_at,
        ready_at=ready_at,
    )


def _may_match(*ids: str | None) -> bool:
    """Whether these are valid ids or None. Any other text matches no row."""
    return all(id is None or is_id(id) for id in ids)
