"""Executions: one method for each statement. `consumers`, `recall` and the API decide when one is run."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas.access import Actor
from schemas.ids import id_above, is_id
from schemas.rest.executions import ExecutionQuery
from schemas.rest.lists import of_actor
from schemas.states import ExecutionStatus
from shared.postgres import (
    Database,
    Page,
    Record,
    Runner,
    Transaction,
    load_queries,
    narrowed_by,
    with_rows,
    with_values,
)
from worker_manager.domain.handover import Order
from worker_manager.domain.reports import Report, Settled, Unplaced
from worker_manager.store.tables import HEARD, ORDERS, PLACED, REPORTS, SETTLED, UNPLACED

_IDS: Final = ("job_id", "task_id", "worker_id")
_FILTERS: Final = (*_IDS, "status", "worker_name", "reason", "created_after", "created_before")


@dataclass(frozen=True, slots=True)
class LogState:
    """What a reader of an execution's log needs. `worker_id` is None until the execution is placed, `chunks` until the
    worker has reported their number."""

    worker_id: str | None
    over: bool
    chunks: int | None
    truncated: bool
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A row that entered a new status by a report. `seconds` is how long an execution ran that is over."""

    execution_id: str
    worker_id: str
    status: str
    seconds: float | None


class ExecutionStore:
    """Every execution that was requested here or handed to a worker."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("worker_manager")
        self._record_orders = with_rows(self._sql["record_orders"], orders=ORDERS)
        self._record_reports = with_rows(self._sql["record_reports"], reports=REPORTS, placed=PLACED)
        self._close_unplaced = with_rows(self._sql["close_unplaced"], ends=UNPLACED)
        self._close_settled = with_rows(self._sql["close_settled"], ends=SETTLED)
        self._claim_unheard = with_rows(self._sql["claim_unheard"], "held", "limit", "after", workers=HEARD)

    async def request(
        self, on: Runner, execution_id: str, task_id: str, job_id: str, target: str, by: Actor | None
    ) -> str:
        """Insert a direct request for a JobTarget, given as JSON. Returns the execution as JSON."""
        sql, arguments = with_values(
            self._sql["request_execution"],
            id=execution_id,
            task_id=task_id,
            job_id=job_id,
            request=target,
            created_by=None if by is None else by.model_dump(),
        )
        body: str = await on.fetch_value(sql, *arguments)
        return body

    async def overdue(self, status: ExecutionStatus, after: str, age: float, limit: int) -> list[Record]:
        """A page of executions in one status that are older than `age` seconds, in the order of ids."""
        sql, arguments = with_values(
            self._sql["overdue_executions"], status=status.value, after=after, age=age, limit=limit
        )
        return await self._database.fetch(sql, *arguments)

    async def recall(self, task_ids: Collection[str]) -> list[Record]:
        """The executions of these tasks, the oldest first."""
        return await self._database.fetch(self._sql["recall_executions"], list(task_ids))

    async def forget(self, execution_id: str, on: Runner) -> None:
        """Delete a direct request that was refused."""
        await on.execute(self._sql["forget_execution"], execution_id)

    async def record_orders(self, on: Transaction, orders: Sequence[Order]) -> None:
        """Write orders that were or are being sent to their workers."""
        await on.execute(self._record_orders, *ORDERS.arrays(orders))

    async def record_reports(self, on: Runner, reports: Sequence[Report]) -> list[Recorded]:
        """Fold in the reports whose execution is placed on their worker. Returns the rows that entered a new status."""
        rows = await on.fetch(self._record_reports, *REPORTS.arrays(reports), *PLACED.arrays(reports))
        return [Recorded(row["id"], row["worker_id"], row["status"], row["seconds"]) for row in rows]

    async def workers_of(self, execution_ids: Collection[str]) -> dict[str, str | None]:
        """The workers that executions are placed on, by execution id; None for one that waits for a worker."""
        rows = await self._database.fetch(self._sql["get_workers"], list(execution_ids))
        return {row["id"]: row["worker_id"] for row in rows}

    async def close_unplaced(self, on: Transaction, unplaced: Sequence[Unplaced]) -> list[str]:
        """Close direct requests whose task left the queue without a worker. Returns the status of each changed row."""
        rows = await on.fetch(self._close_unplaced, *UNPLACED.arrays(unplaced))
        return [row["status"] for row in rows]

    async def close_settled(self, on: Runner, settled: Sequence[Settled]) -> list[str]:
        """Close direct requests that the orchestrator closed. Returns the status of each changed row."""
        rows = await on.fetch(self._close_settled, *SETTLED.arrays(settled))
        return [row["status"] for row in rows]

    async def settle(self, settled: Settled) -> None:
        """As `close_settled`, for one request, whose answer does not wait for the recorder."""
        await self.close_settled(self._database, [settled])

    async def claim_unheard(
        self, workers: Sequence[tuple[str, str]], held: Collection[str], *, limit: int, after: float
    ) -> list[tuple[str, str, bytes]]:
        """Orders to send again, as (worker, incarnation, assignment)."""
        rows = await self._database.fetch(self._claim_unheard, *HEARD.arrays(workers), list(held), limit, after)
        return [(row["worker_id"], row["incarnation"], row["assignment"].encode()) for row in rows]

    async def get(self, execution_id: str) -> str | None:
        """One execution as JSON."""
        value: str | None = await self._database.fetch_value(self._sql["get_execution"], execution_id)
        return value

    async def log_state(self, execution_id: str) -> LogState | None:
        row = await self._database.fetch_one(self._sql["get_execution_log"], execution_id)
        if row is None:
            return None
        return LogState(row["worker_id"], row["over"], row["log_chunks"], row["log_truncated"], row["finished_at"])

    async def list(self, query: ExecutionQuery, before: str | None) -> Page:
        """A page of executions, newest first.

        Most executions are first attempts and end with exit code 0. The others have indexes and filters of their own.
        """
        values: dict[str, object] = {name: getattr(query, name) for name in _FILTERS}
        if not all(values[name] is None or is_id(str(values[name])) for name in _IDS):
            return Page([])  # what is not an id names nothing
        values |= {
            "before": before,
            "labels": query.labels() or None,
            **of_actor("created_by", query.created_by),
            "below": None if query.created_before is None else id_above(query.created_before),
            "first_attempt": True if query.attempt == 1 else None,
            "attempt": None if query.attempt == 1 else query.attempt,
            "no_exit_code": True if query.exit_code == 0 else None,
            "exit_code": query.exit_code or None,
            "limit": query.limit + 1,
        }
        call = narrowed_by(self._sql["list_executions"], values)
        return Page.of(await self._database.fetch_planned(call), query.limit)
