"""The workers that the service started: one method for each statement. `domain` decides how a worker ended."""

from dataclasses import dataclass
from typing import Final

from schemas.access import Actor
from schemas.rest.lists import of_actor, of_name
from schemas.rest.workers import ManagedWorkerQuery
from schemas.states import WorkerProcessStatus
from shared.postgres import Database, Page, Record, Runner, Transaction, load_queries, narrowed_by, with_values
from worker_manager.domain.endings import Ending, Intent
from worker_manager.providers.base import Handle, WorkerSpec

_FILTERS: Final = ("status", "type", "provider")


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


@dataclass(frozen=True, slots=True)
class Closed:
    """A worker whose end was written: whether it ever ran, and who requested its stop, if anybody did."""

    ran: bool
    stopped_by: Actor | None


class WorkerStore:
    """The workers that any instance of the service has started."""

    def __init__(self, database: Database, *, instance: str) -> None:
        self.instance = instance
        self._database = database
        self._sql = load_queries("worker_manager")

    async def insert(self, tx: Transaction, spec: WorkerSpec, provider: str, by: Actor | None) -> str:
        """Insert a worker that is about to be started, as `by` requested. Returns the worker as JSON."""
        sql, arguments = with_values(
            self._sql["insert_worker"],
            id=spec.worker_id,
            type=spec.type,
            name=spec.name,
            provider=provider,
            labels=dict(spec.labels),
            slots=spec.slots,
            instance=self.instance,
            created_by=None if by is None else by.model_dump(),
        )
        body: str = await tx.fetch_value(sql, *arguments)
        return body

    async def set_handle(self, worker_id: str, handle: Handle, pid: int | None) -> None:
        sql, arguments = with_values(self._sql["set_worker_handle"], id=worker_id, handle=dict(handle), pid=pid)
        await self._database.execute(sql, *arguments)

    async def confirm(self, on: Runner, worker_id: str) -> Record | None:
        """Move the worker from starting to running. Returns its row (body, type, name, provider, labels, slots,
        created_by), None when it was not starting."""
        return await on.fetch_one(self._sql["confirm_worker"], worker_id)

    async def ask_to_stop(self, on: Runner, worker_id: str, intent: Intent, by: Actor | None) -> str | None:
        """Record the intent, and whose it is. Returns the instance that watches the worker, None when the worker is
        over or unknown."""
        whose = None if by is None else by.model_dump()
        sql, arguments = with_values(self._sql["ask_worker_to_stop"], id=worker_id, intent=intent.value, by=whose)
        row = await on.fetch_one(sql, *arguments)
        return None if row is None else str(row["instance"])

    async def intent(self, on: Runner, worker_id: str) -> Intent | None:
        row = await on.fetch_one(self._sql["worker_intent"], worker_id)
        return Intent(row["intent"]) if row is not None and row["intent"] else None

    async def close(self, on: Runner, worker_id: str, ending: Ending, exit_code: int | None) -> Closed | None:
        """Write the end. Returns None when it was written before."""
        sql, arguments = with_values(
            self._sql["close_worker"],
            id=worker_id,
            status=ending.status.value,
            exit_code=exit_code,
            detail=ending.detail,
        )
        row = await on.fetch_one(sql, *arguments)
        if row is None:
            return None
        by = row["stop_requested_by"]
        return Closed(ran=row["ran"], stopped_by=None if by is None else Actor.model_validate(by))

    async def forget(self, on: Transaction, *, stopped: float, failed: float, limit: int) -> list[Forgotten]:
        """Delete workers that stopped or failed longer ago than so many seconds. Returns them."""
        sql, arguments = with_values(
            self._sql["forget_workers"], instance=self.instance, stopped=stopped, failed=failed, limit=limit
        )
        rows = await on.fetch(sql, *arguments)
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
        values: dict[str, object] = {name: getattr(query, name) for name in _FILTERS}
        values |= {"before": before, "labels": query.labels() or None, "limit": query.limit + 1}
        values |= {**of_name(query.name), **of_actor("created_by", query.created_by)}
        sql, arguments = narrowed_by(self._sql["list_workers"], values)
        return Page.of(await self._database.fetch(sql, *arguments), query.limit)

    async def count(self) -> dict[str, int]:
        """The number of workers in each status that is not final."""
        rows = await self._database.fetch(self._sql["count_workers"])
        return {row["status"]: row["workers"] for row in rows}
