"""The changes that REST and the leader's loops make to the table of workers. `turns` writes the leader's memory."""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.access import Actor
from schemas.specs import Resources
from schemas.states import WorkerStatus
from shared.postgres import Transaction, load_queries


@dataclass(frozen=True, slots=True)
class LockedWorker:
    """A worker whose row is locked; `busy` is the number of executions placed there."""

    status: WorkerStatus
    drained: bool
    has_agent: bool
    incarnation: str | None
    busy: int


@dataclass(frozen=True, slots=True)
class BeatenWorker:
    """A worker after a heartbeat over REST; `revived` is whether it was offline before."""

    type: str
    name: str
    labels: dict[str, str]
    drained: bool
    revived: bool


@dataclass(frozen=True, slots=True)
class ForgottenWorker:
    """A worker whose row was deleted."""

    id: str
    name: str


class WorkerStore:
    """Changes single workers, and workers without an agent whose lease has run out."""

    def __init__(self) -> None:
        self._sql = load_queries("scheduler")

    async def insert(
        self, tx: Transaction, id: str, *, type: str, name: str, labels: Mapping[str, str], capacity: Resources | None
    ) -> None:
        """Write a new worker without an agent."""
        stated = None if capacity is None else capacity.model_dump()
        await tx.execute(self._sql["insert_worker"], id, type, name, labels, stated)

    async def shown(self, tx: Transaction, id: str) -> str:
        """An existing worker as JSON."""
        return str(await tx.fetch_value(self._sql["get_worker"], id))

    async def beat(self, tx: Transaction, id: str, labels: Mapping[str, str] | None) -> BeatenWorker | None:
        """Note a heartbeat, and new labels of a worker without an agent; None when there is no such worker."""
        row = await tx.fetch_one(self._sql["beat_worker"], id, labels)
        if row is None:
            return None
        return BeatenWorker(row["type"], row["name"], row["labels"], row["drained"], row["revived"])

    async def lock(self, tx: Transaction, id: str) -> LockedWorker | None:
        """Lock a worker's row; None when there is no such worker."""
        row = await tx.fetch_one(self._sql["lock_worker"], id)
        if row is None:
            return None
        return LockedWorker(
            WorkerStatus(row["status"]), row["drained"], row["has_agent"], row["incarnation"], row["busy"]
        )

    async def drain(self, tx: Transaction, id: str, by: Actor | None) -> None:
        await tx.execute(self._sql["drain_worker"], id, None if by is None else by.model_dump())

    async def resume(self, tx: Transaction, id: str) -> None:
        await tx.execute(self._sql["resume_worker"], id)

    async def delete(self, tx: Transaction, id: str) -> None:
        await tx.execute(self._sql["delete_worker"], id)

    async def expire_silent(self, tx: Transaction, lease: float) -> list[str]:
        """Set workers without an agent offline whose lease (seconds) has run out. Returns their ids."""
        return [row["id"] for row in await tx.fetch(self._sql["expire_silent"], lease)]

    async def next_silence(self, tx: Transaction, lease: float) -> float | None:
        """Seconds until the next lease of a worker without an agent runs out; None if there is none."""
        seconds: float | None = await tx.fetch_value(self._sql["next_silence"], lease)
        return seconds

    async def forget_silent(self, tx: Transaction, ttl: float) -> list[ForgottenWorker]:
        """Delete a bounded number of workers without an agent that have been offline for `ttl` seconds."""
        return [ForgottenWorker(row["id"], row["name"]) for row in await tx.fetch(self._sql["forget_silent"], ttl)]
