"""Recovering events that were lost (`shared.recall`): the worker manager's questions, and its answers to others.

It asks about executions that are not over and that no heartbeat has named for the length of a lease. The scheduler and
the orchestrator publish again what they know of them; a direct request that the orchestrator does not know is published
again from here. A lost `executions.started` is replaced from the heartbeats.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final, Literal

from schemas.agents import Heartbeat
from schemas.events import EventData, ExecutionRequested, ExecutionStarted, JobTarget
from schemas.ids import LOWEST
from schemas.questions import Overdue, RecallAnswer, RecallQuestion
from schemas.states import ExecutionStatus
from shared.clock import now
from shared.outbox import Outbox
from shared.postgres import Record
from shared.recall import Recall, Walk, answered
from shared.service import Counts, Loop
from worker_manager.domain import recall
from worker_manager.domain.recall import KnownExecution
from worker_manager.store.executions import ExecutionStore

START: Final = LOWEST
ROUND: Final = (ExecutionStatus.RUNNING, ExecutionStatus.PENDING)
MOST: Final = 20_000
"""Workers whose holdings are remembered."""


@dataclass(frozen=True, slots=True)
class _Holding:
    at: float
    incarnation: str
    held: frozenset[str]
    running: frozenset[str]


class Holdings:
    """The executions that each worker named in its last heartbeat, unless that is older than `within` seconds."""

    def __init__(self, *, within: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._within = within
        self._clock = clock
        self._holdings: dict[str, _Holding] = {}

    def hear(self, heartbeat: Heartbeat) -> None:
        """Take note of a heartbeat. Only the latest of each worker matters."""
        if heartbeat.leaving:
            self._holdings.pop(heartbeat.worker_id, None)
        elif heartbeat.worker_id in self._holdings or len(self._holdings) < MOST:
            self._holdings[heartbeat.worker_id] = _Holding(
                self._clock(), heartbeat.incarnation, frozenset(heartbeat.held()), frozenset(heartbeat.running)
            )

    def holds(self, worker_id: str | None, execution_id: str) -> bool:
        """Whether the worker holds the execution: running, waiting or to be reported."""
        holding = self._latest(worker_id)
        return holding is not None and execution_id in holding.held

    def runs(self, worker_id: str | None, execution_id: str) -> bool:
        """Whether the execution's process runs on the worker."""
        holding = self._latest(worker_id)
        return holding is not None and execution_id in holding.running

    def _latest(self, worker_id: str | None) -> _Holding | None:
        holding = self._holdings.get(worker_id or "")
        return holding if holding is not None and self._clock() - holding.at <= self._within else None


class Unheard(Loop):
    """Walks through the executions that are not over, a page at a time. A short round takes half a lease.

    `late` returns the delay of the reports that are handled, in seconds: while it is long, nothing is asked.
    """

    def __init__(
        self,
        outbox: Outbox,
        store: ExecutionStore,
        asked: Recall,
        holdings: Holdings,
        *,
        late: Callable[[], float],
        lease: float,
    ) -> None:
        super().__init__("unheard", interval=lease / 2)
        self._outbox = outbox
        self._store = store
        self._recall = asked
        self._holdings = holdings
        self._late = late
        self._lease = lease
        self._walk = Walk(ROUND, START, self._not_over, _id_of, pause=lease / 2)

    async def run_once(self) -> Counts:
        """Ask about a page of executions."""
        if self._late() > self._lease / 3:
            return {}
        rows = await self._walk.page()
        self.interval = self._walk.pause
        silent = [row for row in rows if not self._holdings.holds(row["worker_id"], row["id"])]
        overdue = [_overdue(row) for row in silent]
        unknown = await self._recall.ask("orchestrator", overdue)
        await self._recall.ask("scheduler", overdue)
        again = [_request(row) for row in silent if row["request"] is not None and row["task_id"] in unknown]
        begun = [_started(row) for row in rows if self._has_begun(row)]
        if again or begun:
            async with self._outbox.transaction() as tx:
                tx.emit(*again, *begun)
            self._recall.repeated(ExecutionRequested.event_type, len(again))
            self._recall.repeated(ExecutionStarted.event_type, len(begun))
        return {"asked": len(overdue), "requested_again": len(again), "begun": len(begun)}

    def _has_begun(self, row: Record) -> bool:
        return row["status"] == ExecutionStatus.PENDING and self._holdings.runs(row["worker_id"], row["id"])

    async def _not_over(self, status: ExecutionStatus, after: str, limit: int) -> list[Record]:
        return await self._store.overdue(status, after, self._lease, limit)


class Recollection:
    """Answers the questions of other services from the executions' table."""

    def __init__(self, outbox: Outbox, store: ExecutionStore, asked: Recall) -> None:
        self._outbox = outbox
        self._store = store
        self._recall = asked

    async def answer(self, question: RecallQuestion) -> RecallAnswer:
        """Publish again what is known of these attempts. Executions without an order here are answered as unknown."""
        rows: dict[str, list[KnownExecution]] = defaultdict(list)
        for row in await self._store.recall([one.task_id for one in question.overdue]):
            rows[row["task_id"]].append(_known(row))
        events: list[EventData] = []
        for one in question.overdue:
            events += recall.events(rows[one.task_id], one)
        if events:
            async with self._outbox.transaction() as tx:
                tx.emit(*events)
            for event in events:
                self._recall.repeated(event.event_type)
        unknown = [one.task_id for one in question.overdue if recall.is_unknown(rows[one.task_id], one)]
        return answered(len(events), unknown)


def _known(row: Record) -> KnownExecution:
    values = {field.name: row[field.name] for field in fields(KnownExecution)}
    return KnownExecution(**values | {"status": ExecutionStatus(row["status"])})


def _id_of(row: Record) -> str:
    return str(row["id"])


def _overdue(row: Record) -> Overdue:
    placed: Literal["running", "scheduled"]
    placed = "running" if row["status"] == ExecutionStatus.RUNNING else "scheduled"
    return Overdue(
        task_id=row["task_id"],
        job_id=row["job_id"],
        attempt=row["attempt"],
        status="queued" if row["worker_id"] is None else placed,
        execution_id=row["id"],
        worker_id=row["worker_id"],
        incarnation=row["incarnation"],
    )


def _request(row: Record) -> ExecutionRequested:
    return ExecutionRequested(
        execution_id=row["id"],
        task_id=row["task_id"],
        job_id=row["job_id"],
        attempt=row["attempt"],
        target=JobTarget.model_validate_json(row["request"]),
        created_by=row["created_by"],
    )


def _started(row: Record) -> ExecutionStarted:
    names = ("task_id", "job_id", "attempt", "worker_id", "worker_name", "incarnation", "labels")
    return ExecutionStarted.model_validate(
        {"execution_id": row["id"], "started_at": now()} | {name: row[name] for name in names}
    )
