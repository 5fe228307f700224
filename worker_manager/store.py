"""The worker manager's tables: one method for each statement.

Here: arguments in, rows out. Not here: SQL (sql/*.sql), rules (domain/), and when a statement is run.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.ids import id_above, is_id
from schemas.rest.executions import ExecutionQuery
from schemas.rest.workers import ManagedWorkerQuery
from schemas.states import ExecutionStatus, WorkerProcessStatus
from shared.postgres import Database, Page, Record, RowsQuery, Runner, Transaction, load_queries, narrowed
from worker_manager.domain.endings import Ending, Intent
from worker_manager.domain.handover import Order
from worker_manager.domain.reports import Report, Settled, Unplaced
from worker_manager.providers.base import Handle, WorkerSpec


@dataclass(frozen=True, slots=True)
class LogState:
    """What a reader of an execution's log needs. `chunks` is None until the worker has reported their number."""

    over: bool
    chunks: int | None
    truncated: bool
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Adoptee:
    """A worker that an earlier run of this instance left behind."""

    worker_id: str
    status: WorkerProcessStatus
    provider: str
    handle: Handle | None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A worker whose row was deleted. `ours`: this instance started it."""

    id: str
    name: str
    provider: str
    failed: bool
    ours: bool


class WorkerStore:
    """The workers that any instance of the service has started."""

    def __init__(self, database: Database, *, instance: str) -> None:
        self.instance = instance
        self._database = database
        self._sql = load_queries("worker_manager")

    async def insert(self, tx: Transaction, spec: WorkerSpec, provider: str) -> str:
        """Insert a worker that is about to be started. Returns the worker as JSON."""
        body: str = await tx.fetch_value(
            self._sql["insert_worker"],
            spec.worker_id,
            spec.type,
            spec.name,
            provider,
            dict(spec.labels),
            spec.slots,
            self.instance,
        )
        return body

    async def set_handle(self, worker_id: str, handle: Handle, pid: int | None) -> None:
        await self._database.execute(self._sql["set_worker_handle"], worker_id, dict(handle), pid)

    async def confirm(self, on: Runner, worker_id: str) -> Record | None:
        """Move the worker from starting to running. Returns its row (body, type, name, provider, labels, slots), None
        when it was not starting."""
        return await on.fetch_one(self._sql["confirm_worker"], worker_id)

    async def ask_to_stop(self, worker_id: str, intent: Intent) -> str | None:
        """Record the intent. Returns the instance that watches the worker, None when the worker is over or unknown."""
        row = await self._database.fetch_one(self._sql["ask_worker_to_stop"], worker_id, intent.value)
        return None if row is None else str(row["instance"])

    async def intent(self, on: Runner, worker_id: str) -> Intent | None:
        row = await on.fetch_one(self._sql["worker_intent"], worker_id)
        return Intent(row["intent"]) if row is not None and row["intent"] else None

    async def close(self, on: Runner, worker_id: str, ending: Ending, exit_code: int | None) -> bool | None:
        """Write the end. Returns whether the worker ever ran, None when its end was written before."""
        ran: bool | None = await on.fetch_value(
            self._sql["close_worker"], worker_id, ending.status.value, exit_code, ending.detail
        )
        return ran

    async def forget(self, on: Transaction, *, stopped: float, failed: float, limit: int) -> list[Forgotten]:
        """Delete workers that stopped or failed longer ago than so many seconds. Returns them."""
        rows = await on.fetch(self._sql["forget_workers"], self.instance, stopped, failed, limit)
        return [Forgotten(row["id"], row["name"], row["provider"], row["failed"], row["ours"]) for row in rows]

    async def to_adopt(self) -> list[Adoptee]:
        rows = await self._database.fetch(self._sql["workers_to_adopt"], self.instance)
        return [Adoptee(row["id"], WorkerProcessStatus(row["status"]), row["provider"], row["handle"]) for row in rows]

    async def get(self, worker_id: str) -> str | None:
        """One worker as JSON."""
        value: str | None = await self._database.fetch_value(self._sql["get_worker"], worker_id)
        return value

    async def get_state(self, worker_id: str) -> str | None:
        """One worker's id and status as JSON."""
        value: str | None = await self._database.fetch_value(self._sql["get_worker_state"], worker_id)
        return value

    async def list(self, query: ManagedWorkerQuery, before: str | None) -> Page:
        sql, arguments = narrowed(
            self._sql["list_workers"],
            before,
            *(query.status, query.type, query.name, query.provider, query.labels() or None),
            query.limit + 1,
        )
        return Page.of(await self._database.fetch(sql, *arguments), query.limit)

    async def count(self) -> dict[str, int]:
        """The number of workers in each status that is not final."""
        rows = await self._database.fetch(self._sql["count_workers"])
        return {row["status"]: row["workers"] for row in rows}


class ExecutionStore:
    """Every execution that was requested here or handed to a worker."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("worker_manager")
        self._record_orders: RowsQuery[Order] = RowsQuery(
            self._sql["record_orders"], assignment=lambda order: order.assignment.decode()
        )
        self._record_reports: RowsQuery[Report] = RowsQuery(self._sql["record_reports"])
        self._close_unplaced: RowsQuery[Unplaced] = RowsQuery(self._sql["close_unplaced"])
        self._close_settled: RowsQuery[Settled] = RowsQuery(self._sql["close_settled"])

    async def request(self, on: Runner, execution_id: str, task_id: str, job_id: str, target: str) -> str:
        """Insert a direct request for a JobTarget, given as JSON. Returns the execution as JSON."""
        body: str = await on.fetch_value(self._sql["request_execution"], execution_id, task_id, job_id, target)
        return body

    async def overdue(self, status: ExecutionStatus, after: str, age: float, limit: int) -> list[Record]:
        """A page of executions in one status that are older than `age` seconds, in the order of ids."""
        return await self._database.fetch(self._sql["overdue_executions"], status.value, after, age, limit)

    async def recall(self, task_ids: Collection[str]) -> list[Record]:
        """The executions of these tasks, the oldest first."""
        return await self._database.fetch(self._sql["recall_executions"], list(task_ids))

    async def forget(self, execution_id: str, on: Runner) -> None:
        """Delete a direct request that was refused."""
        await on.execute(self._sql["forget_execution"], execution_id)

    async def record_orders(self, on: Transaction, orders: Sequence[Order]) -> None:
        """Write orders that were or are being sent to their workers."""
        statement, arguments = self._record_orders.of(orders)
        await on.execute(statement, *arguments)

    async def record_reports(self, on: Runner, reports: Sequence[Report]) -> list[tuple[str, float | None]]:
        """Fold reports in. Returns, for each row that entered a new status, the status and, of an execution that is
        over, how many seconds it ran."""
        statement, arguments = self._record_reports.of(reports)
        rows = await on.fetch(statement, *arguments)
        return [(row["status"], row["seconds"]) for row in rows]

    async def close_unplaced(self, on: Transaction, unplaced: Sequence[Unplaced]) -> list[str]:
        """Close direct requests whose task left the queue without a worker. Returns the status of each changed row."""
        statement, arguments = self._close_unplaced.of(unplaced)
        return [row["status"] for row in await on.fetch(statement, *arguments)]

    async def close_settled(self, on: Runner, settled: Sequence[Settled]) -> list[str]:
        """Close direct requests that the orchestrator closed. Returns the status of each changed row."""
        statement, arguments = self._close_settled.of(settled)
        return [row["status"] for row in await on.fetch(statement, *arguments)]

    async def settle(self, settled: Settled) -> None:
        """As `close_settled`, for one request, whose answer does not wait for the recorder."""
        await self.close_settled(self._database, [settled])

    async def claim_unheard(
        self, workers: Sequence[tuple[str, str]], held: Collection[str], *, limit: int, after: float
    ) -> list[tuple[str, str, bytes]]:
        """Orders to send again, as (worker, incarnation, assignment)."""
        rows = await self._database.fetch(
            self._sql["claim_unheard"],
            [worker_id for worker_id, _ in workers],
            [incarnation for _, incarnation in workers],
            list(held),
            limit,
            after,
        )
        return [(row["worker_id"], row["incarnation"], row["assignment"].encode()) for row in rows]

    async def get(self, execution_id: str) -> str | None:
        """One execution as JSON."""
        value: str | None = await self._database.fetch_value(self._sql["get_execution"], execution_id)
        return value

    async def log_state(self, execution_id: str) -> LogState | None:
        row = await self._database.fetch_one(self._sql["get_execution_log"], execution_id)
        if row is None:
            return None
        return LogState(row["over"], row["log_chunks"], row["log_truncated"], row["finished_at"])

    async def list(self, query: ExecutionQuery, before: str | None) -> Page:
        """A page of executions, newest first.

        Most executions are first attempts and end with exit code 0. The others have indexes and filters of their own.
        """
        if not all(one is None or is_id(one) for one in (query.job_id, query.task_id, query.worker_id)):
            return Page([])  # what is not an id names nothing
        attempt, code = query.attempt, query.exit_code
        of = (query.status, query.worker_id, query.worker_name, query.job_id, query.task_id, query.reason)
        below = None if query.created_before is None else id_above(query.created_before)
        times = (query.created_after, query.created_before, below)
        common = (True if attempt == 1 else None, True if code == 0 else None)
        rare = (None if attempt == 1 else attempt, code or None)
        sql, arguments = narrowed(self._sql["list_executions"], before, *of, *times, *common, *rare, query.limit + 1)
        return Page.of(await self._database.fetch(sql, *arguments), query.limit)
