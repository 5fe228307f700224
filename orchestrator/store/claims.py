"""The claims of jobs to concurrency keys. The rules are in `orchestrator.domain.concurrency`."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from zlib import crc32

from orchestrator.domain.concurrency import NAMED, Claim, Key, Line, Member, Replaced, Space, Waiter, wait_in_words
from orchestrator.domain.making import NewJob
from orchestrator.domain.run import JobRun
from orchestrator.store.actors import read_actor
from orchestrator.store.tables import CLAIMS, ClaimRow
from schemas.access import Actor
from schemas.rest.concurrency import ConcurrencyQuery, KeyHolder, KeyWait
from schemas.specs import PRIORITY_RANK
from schemas.states import JOB
from shared.outbox import OutboxTransaction
from shared.postgres import Database, Record, Transaction, load_queries, narrowed_by, with_rows

_LOCKS: Final = 256
"""Keys share this many locks, so that a transaction with many keys does not take too many."""


HOLDERS: Final = 10
"""The most jobs that hold a key which a response lists."""


class Keys(NamedTuple):
    """A page of keys as JSON, and the place of the last one unless it is the last page."""

    bodies: Sequence[str]
    last: tuple[str, str] | None


class Superseded(NamedTuple):
    """A job that is to be cancelled for a newer one."""

    job_id: str
    by: str
    space: Space
    created_by: Actor | None
    """Who submitted the newer one."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that waits, as the tables have it."""

    waiter: Waiter
    arrived: bool
    since: datetime


class ClaimStore:
    """The table of claims. A key is given to a job only under the key's lock; freeing it needs none."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("orchestrator")
        self._insert = with_rows(self._sql["insert_claims"], claims=CLAIMS)

    async def lock(self, tx: Transaction, keys: Iterable[Key]) -> None:
        """Keep other transactions from giving these keys away until this one ends. Call it once in a transaction, and
        before the rows of jobs are locked: all transactions have this order, so that they cannot deadlock."""
        locks = sorted({crc32(f"{key.space}:{key.name}".encode()) % _LOCKS for key in keys})
        await tx.fetch(self._sql["lock_keys"], locks)

    async def lines(self, tx: Transaction, keys: Collection[Key]) -> dict[Key, Line]:
        """The state of keys as an arriving job finds it."""
        rows = await tx.fetch(self._sql["lines"], *_columns(keys), NAMED)
        return {line.key: line for line in map(_line, rows)}

    async def existing(self, tx: Transaction, job_ids: Sequence[str]) -> set[str]:
        """Those of these jobs that exist."""
        return {row["id"] for row in await tx.fetch(self._sql["existing_jobs"], job_ids)}

    def insert(self, tx: OutboxTransaction, jobs: Iterable[NewJob]) -> None:
        """Insert the claims of new jobs that are not over when the transaction commits."""
        rows = [row for job in jobs if not JOB.is_final(job.run.job.status) for row in _rows(job)]
        if rows:
            tx.close_with(self._insert, *CLAIMS.arrays(rows))

    async def rerank(self, tx: Transaction, runs: Iterable[JobRun]) -> None:
        """Note the new priorities of jobs that wait."""
        for run in runs:
            await tx.execute(self._sql["rerank_claims"], run.job.id, PRIORITY_RANK[run.job.priority])

    def free(self, tx: OutboxTransaction, runs: Iterable[JobRun]) -> None:
        """Delete the claims of jobs that have ended, when the transaction commits."""
        tx.close_with(self._sql["free_claims"], [run.job.id for run in runs])

    async def replaced(self, tx: Transaction, lines: Iterable[Line]) -> list[Replaced]:
        """The jobs that are to be cancelled for newer ones, as these lines have it."""
        found: list[Replaced] = []
        for line in lines:
            if not line.superseded or line.superseded_by is None:
                continue
            key = line.key.space, line.key.name
            rows = await tx.fetch(self._sql["oldest_jobs"], *key, line.superseded)
            found += [
                Replaced(row["id"], row["name"], row["created_by"], line.superseded_by, line.key.space, line.only_of)
                for row in rows
            ]
        return found

    async def supersede(self, tx: OutboxTransaction, replaced: Sequence[Replaced]) -> None:
        """Mark jobs that are to be cancelled. The audit log names them as changed."""
        columns = [[one.id for one in replaced], [one.space for one in replaced], [one.by for one in replaced]]
        await tx.execute(self._sql["supersede"], *columns)
        tx.changes(*(one.id for one in replaced))

    async def waiting(self, tx: Transaction, job_ids: Sequence[str]) -> tuple[list[Waiting], dict[Key, int]]:
        """Those of these jobs that wait, in the order in which they are admitted, and the number of holders of each of
        their keys. Run it under the locks of the keys."""
        claims: dict[str, list[Claim]] = {}
        holding: dict[Key, int] = {}
        arrived: dict[str, tuple[bool, datetime]] = {}
        for row in await tx.fetch(self._sql["waiting_claims"], job_ids):
            key = Key(row["space"], row["key"])
            claims.setdefault(row["job_id"], []).append(Claim(key, row["slot_limit"], row["when_full"], row["only_of"]))
            holding[key] = row["holding"]
            arrived[row["job_id"]] = row["arrived"], row["since"]
        return [Waiting(Waiter(id, each), *arrived[id]) for id, each in claims.items()], holding

    async def hold(self, tx: Transaction, job_ids: Sequence[str], moment: datetime) -> None:
        """Have jobs hold the keys that they claim."""
        await tx.execute(self._sql["hold_claims"], job_ids, moment)

    async def keep_waiting(self, tx: Transaction, job_ids: Sequence[str]) -> None:
        """Note that jobs have arrived at their keys, and wait."""
        await tx.execute(self._sql["keep_waiting"], job_ids)

    async def find(self, query: ConcurrencyQuery, after: Sequence[str] | None) -> Keys:
        """A page of the keys that jobs hold or wait for, after the place `after`."""
        beginning, digest = after or (None, None)
        values = {"key": query.key, "beginning": beginning, "digest": digest, "holders": HOLDERS}
        sql, arguments = narrowed_by(self._sql["list_keys"], {**values, "limit": query.limit + 1})
        rows = await self._database.fetch(sql, *arguments)
        kept = rows[: query.limit]
        last = (kept[-1]["beginning"], kept[-1]["digest"]) if len(rows) > query.limit else None
        return Keys([row["body"] for row in kept], last)

    async def count(self) -> tuple[int, int, datetime | None]:
        """How many jobs hold a key, how many wait for one, and since when the oldest of these does."""
        row = await self._database.fetch_one(self._sql["count_claims"])
        return (0, 0, None) if row is None else (row["holding"], row["waiting"], row["since"])

    # ------------------------------------------------------------------ what there is to do

    async def in_need(self) -> bool:
        """Whether any claim waits or is to be given up."""
        found: bool = await self._database.fetch_value(self._sql["claims_in_need"])
        return found

    async def arriving(self, moment: datetime, limit: int) -> list[str]:
        """Jobs whose `run_at` has come, the first ones first."""
        return [row["job_id"] for row in await self._database.fetch(self._sql["arriving_jobs"], moment, limit)]

    async def superseded(self, limit: int) -> list[Superseded]:
        """Jobs that are to be cancelled for newer ones."""
        rows = await self._database.fetch(self._sql["superseded_jobs"], limit)
        return [Superseded(row["job_id"], row["by"], row["space"], read_actor(row["created_by"])) for row in rows]

    async def with_room(self, limit: int) -> list[Key]:
        """Some of the keys that fewer jobs hold than may, while others wait for them."""
        return [Key(*row) for row in await self._database.fetch(self._sql["keys_with_room"], limit)]

    async def free_ended(self) -> None:
        """Delete claims of jobs that have ended, which an earlier version of the service leaves behind."""
        await self._database.execute(self._sql["free_claims_of_ended"])

    async def keys_of(self, job_id: str) -> list[Key]:
        """The keys that a job claims."""
        return [Key(*row) for row in await self._database.fetch(self._sql["keys_of_job"], job_id)]

    async def admissible(self, keys: Collection[Key], each: int) -> tuple[list[str], set[Key]]:
        """The jobs that may hold these keys next, at most `each` of a key, and all keys that they claim."""
        rows = await self._database.fetch(self._sql["admissible_jobs"], *_columns(keys), each)
        return list(dict.fromkeys(row["job_id"] for row in rows)), {Key(row["space"], row["key"]) for row in rows}


def key_wait(row: Record) -> KeyWait:
    """What a job waits for, from a row of `describe_wait`."""
    key, limit, holding = Key(row["space"], row["key"]), row["slot_limit"], row["holding"]
    holders = [KeyHolder(job_id=one[0], job_name=one[1], since=one[2]) for one in row["holders"]]
    line = Line(key, holding=holding, holders=[Member(one.job_id, one.job_name) for one in holders])
    position = row["position"] if row["arrived"] else None
    return KeyWait(
        key=key.name if key.space == "key" else None,
        limit=limit,
        holding=holding,
        holders=holders,
        position=position,
        waiting=row["waiting"],
        summary=wait_in_words(line, limit, position, row["waiting"], row["since"]),
    )


def _rows(job: NewJob) -> list[ClaimRow]:
    state, wanted = job.run.job, job.wanted
    if state.claim is None:
        return []
    since = max(wanted.run_at or state.created_at, state.created_at)
    arrived = since == state.created_at
    held_at = None if state.waits else state.created_at
    rank = PRIORITY_RANK[state.priority]
    return [ClaimRow(state.id, claim, rank, since, arrived, held_at) for claim in wanted.claims]


def _line(row: Record) -> Line:
    counts = {name: row[name] for name in ("holding", "staying", "ready", "waiting")}
    return Line(Key(row["space"], row["key"]), **counts, holders=[Member(*one) for one in row["holders"]])


def _columns(keys: Collection[Key]) -> list[list[str]]:
    return [[key.space for key in keys], [key.name for key in keys]]
