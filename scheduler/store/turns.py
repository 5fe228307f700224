"""The leader's reads and writes: its whole memory when it starts, then the changes of each turn.

One turn is one transaction of a few set-based statements, with the events that it causes. REST reads through
`scheduler.store.listing`; `domain` decides what an event changes.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from datetime import timedelta
from typing import Final, TypeVar

from scheduler.domain.changes import Changes
from scheduler.domain.model import Outcome, Task, TaskState
from scheduler.domain.priorities import MAX_REMEMBERED, JobPriority
from scheduler.domain.recall import Known
from scheduler.domain.worker import KnownWorker
from scheduler.store.payloads import KEPT_BYTES, Payloads
from scheduler.store.rows import heard_worker_of, known_of, task_of
from scheduler.store.tables import (
    ARRIVALS,
    BELIEVED,
    ENDS,
    HEARD,
    MARKS,
    MOVES,
    NEWS,
    PRIORITIES,
    RUNS,
    STORED,
    WORKERS,
    Mark,
)
from schemas.events import ExecutionFinished, TaskCancelRequested, TaskWithdrawn
from schemas.specs import RunSpec
from shared.clock import now
from shared.errors import Unavailable
from shared.outbox import Outbox, OutboxTransaction
from shared.postgres import Broken, Database, Runner, Transaction, load_queries, with_rows

MARKS_KEPT: Final = timedelta(hours=24)
"""How long the row of an ended attempt is kept."""
LOAD_PAGE: Final = 2000
"""Waiting tasks that a new leader reads at a time."""

_R = TypeVar("_R", ExecutionFinished, TaskCancelRequested)


class TurnStore:
    """The leader's queries."""

    def __init__(self, database: Database, outbox: Outbox, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._database = database
        self._outbox = outbox
        self._payloads = Payloads(database, kept_bytes=kept_bytes)
        sql = load_queries("scheduler")
        self._begin_epoch, self._hold_epoch = sql["begin_epoch"], sql["hold_epoch"]
        self._load_placed = with_rows(sql["load_placed"], tasks=STORED)
        self._load_waiting = with_rows(sql["load_waiting"], "priority", "ready_at", "task_id", "limit", tasks=STORED)
        self._load_workers = sql["load_workers"]
        self._write_arrivals = with_rows(sql["write_arrivals"], "all_of_them", tasks=ARRIVALS, runs=RUNS)
        self._write_updates = with_rows(sql["write_updates"], tasks=MOVES)
        self._write_done = with_rows(sql["write_done"], tasks=ENDS)
        self._write_priorities = with_rows(sql["write_priorities"], priorities=PRIORITIES)
        self._load_priorities, self._purge_priorities = sql["load_priorities"], sql["purge_priorities"]
        self._write_marks = with_rows(sql["write_marks"], marks=MARKS)
        self._write_workers = with_rows(sql["write_workers"], workers=WORKERS, news=NEWS)
        self._write_heartbeats = with_rows(sql["write_heartbeats"], heard=HEARD)
        self._known_otherwise = with_rows(sql["known_otherwise"], believed=BELIEVED)
        self._recall_tasks, self._purge = sql["recall_tasks"], sql["purge_done"]
        self._existing, self._forget = sql["existing_workers"], sql["forget_workers"]

    async def begin_epoch(self) -> int:
        """Begin the epoch of a new leader, after its predecessor's last transaction. Returns its number."""
        return int(await self._database.fetch_value(self._begin_epoch))

    async def confirm_epoch(self, epoch: int) -> None:
        """Raises Unavailable when another leader has taken over."""
        await self.hold(self._database, epoch)

    async def hold(self, runner: Runner, epoch: int) -> None:
        """As `confirm_epoch`. In a transaction it also prevents the next leader's takeover until that ends."""
        try:
            await runner.fetch_value(self._hold_epoch, epoch)
        except Broken:
            raise Unavailable("this scheduler's leadership") from None

    async def load(self) -> tuple[list[Task], list[KnownWorker], dict[str, str]]:
        """All waiting and placed tasks, all workers with an agent, and the reservations (worker id to task id)."""
        rows = await self._database.fetch(self._load_workers)
        reserved = {row["id"]: row["reserved_for"] for row in rows if row["reserved_for"] is not None}
        tasks = [task_of(row) for row in await self._database.fetch(self._load_placed)]
        after: tuple[object, ...] = (None, None, None)
        while page := [task_of(row) for row in await self._database.fetch(self._load_waiting, *after, LOAD_PAGE)]:
            tasks += page
            after = (page[-1].priority, page[-1].ready_at, page[-1].task_id)
        return tasks, [heard_worker_of(row) for row in rows], reserved

    async def load_priorities(self) -> list[JobPriority]:
        """The latest changes of the priorities of jobs, the earliest first."""
        rows = await self._database.fetch(self._load_priorities, MAX_REMEMBERED)
        return [JobPriority(row["job_id"], row["priority"], row["changes"]) for row in rows]

    async def write(self, epoch: int, changes: Changes) -> list[str]:
        """Write the changes and events of one turn. Returns the task ids of refused arrivals, which are not placed.

        Raises Unavailable when another leader has taken over; nothing is written then.
        """
        waited = [task for task in changes.scheduled if task.stored]
        runs = changes.runs | await self._payloads.take(waited) if waited else changes.runs
        refused = await self._write(epoch, changes, runs)
        self._payloads.forget([task for task in changes.updates if task.state is TaskState.DONE])
        self._payloads.keep([task for task in changes.arrivals if task.task_id not in refused], changes.runs)
        return refused

    async def _write(self, epoch: int, changes: Changes, runs: Mapping[str, RunSpec]) -> list[str]:
        if not changes.finished and not changes.cancelled:
            try:
                await self._write_whole(epoch, changes, runs)
            except Broken:
                pass  # a part of it is refused, or all: writing it step by step shows which
            else:
                return []
        return await self._write_in_steps(epoch, changes, runs)

    async def _write_whole(self, epoch: int, changes: Changes, runs: Mapping[str, RunSpec]) -> None:
        """Write a turn as one statement. Raises Broken, and writes nothing, unless this process leads and no arrival is
        refused."""
        async with self._outbox.transaction() as tx:
            tx.close_with(self._hold_epoch, epoch)
            for query, arguments in self._known(changes):
                tx.close_with(query, *arguments)
            if changes.arrivals:
                tx.close_with(self._write_arrivals, *_arrivals(changes.arrivals, runs, all_of_them=True))
            _say(tx, changes, runs, frozenset())

    async def _write_in_steps(self, epoch: int, changes: Changes, runs: Mapping[str, RunSpec]) -> list[str]:
        refused: list[str] = []
        async with self._outbox.transaction() as tx:
            await self.hold(tx, epoch)
            if changes.finished:
                ends = _latest(changes.finished)
                await self._mark(tx, [Mark(event, Outcome(event.status.value)) for event in ends])
            if changes.cancelled:
                ends_asked = _latest(changes.cancelled)
                marked = set(await self._mark(tx, [Mark(event, Outcome.WITHDRAWN) for event in ends_asked]))
                tx.emit(*(_withdrawn(event) for event in ends_asked if event.task_id in marked))
            for query, arguments in self._known(changes):
                await tx.execute(query, *arguments)
            if changes.arrivals:
                taken = await tx.fetch_value(
                    self._write_arrivals, *_arrivals(changes.arrivals, runs, all_of_them=False)
                )
                refused = list({task.task_id for task in changes.arrivals} - set(taken))
            _say(tx, changes, runs, frozenset(refused))
        return refused

    def _known(self, changes: Changes) -> Iterator[tuple[str, list[object]]]:
        """The writes that are never refused: workers, and tasks that have a row."""
        if changes.workers:
            yield self._write_workers, [*WORKERS.arrays(changes.workers), *NEWS.arrays(changes.workers)]
        if changes.priorities:
            yield self._write_priorities, [*PRIORITIES.arrays(changes.priorities)]
        if changes.forgotten:
            yield self._forget, [[worker.id for worker in changes.forgotten]]
        ended, moved = _by_end(changes.updates)
        if ended:
            yield self._write_done, [*ENDS.arrays(ended)]
        if moved:
            yield self._write_updates, [*MOVES.arrays(moved)]

    async def write_heartbeats(self, epoch: int, workers: Sequence[KnownWorker]) -> None:
        """Write the times of these workers' last heartbeats. Raises Unavailable when another leader has taken over."""
        try:
            async with self._outbox.transaction() as tx:
                tx.close_with(self._hold_epoch, epoch)
                tx.close_with(self._write_heartbeats, *HEARD.arrays(workers))
        except Broken:
            raise Unavailable("this scheduler's leadership") from None

    async def known_otherwise(self, workers: Sequence[KnownWorker]) -> dict[str, bool | None]:
        """The workers whose rows differ from the leader's memory: by id, whether they are drained; None if the row was
        deleted."""
        rows = await self._database.fetch(self._known_otherwise, *BELIEVED.arrays(workers))
        return {row["id"]: row["drained"] for row in rows}

    async def existing_workers(self, ids: Sequence[str]) -> set[str]:
        """Which of these workers have a row."""
        return {row["id"] for row in await self._database.fetch(self._existing, list(ids))}

    async def recall(self, task_ids: Collection[str]) -> dict[str, Known]:
        """The rows of these tasks, by id."""
        rows = await self._database.fetch(self._recall_tasks, list(task_ids))
        return {row["task_id"]: known_of(row) for row in rows}

    async def purge_done(self, limit: int) -> int:
        """Delete at most `limit` attempts that ended more than a day ago. Returns the number deleted."""
        return await self._database.execute(self._purge, now() - MARKS_KEPT, limit)

    async def purge_priorities(self, limit: int) -> int:
        """Delete at most `limit` changes of priorities that are more than a day old. Returns the number deleted."""
        return await self._database.execute(self._purge_priorities, now() - MARKS_KEPT, limit)

    async def _mark(self, tx: Transaction, marks: Sequence[Mark]) -> list[str]:
        """The tasks that were marked: those whose row had no later attempt."""
        return [row["task_id"] for row in await tx.fetch(self._write_marks, *MARKS.arrays(marks))]


def _arrivals(tasks: Sequence[Task], runs: Mapping[str, RunSpec], *, all_of_them: bool) -> list[object]:
    to_run = [None if task.state is TaskState.DONE else runs[task.task_id].model_dump_json() for task in tasks]
    return [*ARRIVALS.arrays(tasks), *RUNS.arrays(to_run), all_of_them]


def _by_end(tasks: Iterable[Task]) -> tuple[list[Task], list[Task]]:
    """The ended tasks, and the others."""
    ended: list[Task] = []
    moved: list[Task] = []
    for task in tasks:
        (ended if task.state is TaskState.DONE else moved).append(task)
    return ended, moved


def _say(tx: OutboxTransaction, changes: Changes, runs: Mapping[str, RunSpec], refused: Set[str]) -> None:
    """Emit the events of a turn, with the orders to run its placed tasks."""
    events = changes.emitted(runs, refused)
    traces = _traces(changes)
    if not traces:
        tx.emit(*events)
        return
    for event in events:
        tx.emit(event, traceparent=traces.get(getattr(event, "task_id", "")))


def _traces(changes: Changes) -> dict[str, str]:
    """The trace contexts of the changed tasks, which their events carry; usually there are none."""
    return {
        task.task_id: task.traceparent
        for tasks in (changes.arrivals, changes.updates)
        for task in tasks
        if task.traceparent is not None
    }


def _latest(events: Iterable[_R]) -> list[_R]:
    """One event per task, of its highest attempt, because a statement may write a row only once."""
    latest: dict[str, _R] = {}
    for event in events:
        known = latest.get(event.task_id)
        if known is None or known.attempt < event.attempt:
            latest[event.task_id] = event
    return list(latest.values())


def _withdrawn(event: TaskCancelRequested) -> TaskWithdrawn:
    return TaskWithdrawn(task_id=event.task_id, job_id=event.job_id, attempt=event.attempt, reason=event.reason)
