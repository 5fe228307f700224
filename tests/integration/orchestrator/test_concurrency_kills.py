"""What is guaranteed of concurrency keys, held against two replicas that die at any moment."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from orchestrator.admission import Admission
from orchestrator.aside import Aside
from orchestrator.domain.run import JobRun
from orchestrator.memory import RunMemory
from orchestrator.reception import Occupied, Reception
from orchestrator.store.claims import ClaimStore
from orchestrator.store.firings import FiringStore
from orchestrator.store.jobs import JobStore
from orchestrator.store.pipelines import PipelineStore
from orchestrator.store.runs import RunStore
from orchestrator.submission import Submission
from orchestrator.traces import Traces
from orchestrator.unit_of_work import UnitOfWork
from orchestrator.watch import Watch
from schemas.rest.jobs import JobCreate
from schemas.states import JOB, TASK, IllegalTransition, TaskStatus
from shared.clock import now
from shared.errors import Unavailable
from shared.outbox import Outbox
from shared.postgres import Database
from shared.telemetry import Tracing
from tests.integration.orchestrator.conftest import House

LIMITS = {"one": 1, "two": 2, "three": 3}
ROUNDS = 30
AT_ONCE = 6

EXPECTED = (
    Occupied,
    Unavailable,
    IllegalTransition,
    asyncio.CancelledError,
    asyncpg.InternalClientError,  # a connection of the driver's pool, when what used it was cancelled
)

HELD = """
select c.key, count(*) filter (where c.held_at is not null) as holding from claims c group by c.key
"""
TOO_EARLY = """
select count(*) from jobs j
where
    j.claim = 'waiting' and j.finished_at is null
    and exists (select from tasks t where t.job_id = j.id and t.status in ('queued', 'scheduled', 'running'))
"""
ASTRAY = """
select count(*)
from (select id, claim from jobs where concurrency_key is not null and finished_at is null) j
full join claims c on c.job_id = j.id
where j.id is null or c.job_id is null or (j.claim = 'held') <> (c.held_at is not null)
"""


class Replica:
    """One process of the orchestrator, without its web server."""

    def __init__(self, house: House, url: str, name: str) -> None:
        self.name = name
        self.database = Database(url, schema="orchestrator", name=name, min_size=1, max_size=4)
        memory = RunMemory()
        outbox = Outbox(self.database, house.bus, source="orchestrator")
        jobs, self.claims = JobStore(self.database), ClaimStore(self.database)
        watch = Watch(house.bus, ended=memory.forget, missed=memory.clear)
        traces = Traces(Tracing("orchestrator"))
        self.outbox = outbox
        aside = Aside()
        self.work = UnitOfWork(outbox, jobs, RunStore(self.database), self.claims, traces, memory, watch)
        self.submission = Submission(jobs, PipelineStore(self.database), aside, largest_event=outbox.largest_event)
        self.reception = Reception(self.claims, FiringStore(self.database), aside)
        self.admission = Admission(outbox, self.work, self.claims, lambda _: None)
        self.work.when_freed(self.admission.freed)
        self.reception.when(waiting=self.admission.freed, superseded=self.admission.superseded)

    async def submit(self, *wishes: JobCreate) -> None:
        async with self.outbox.transaction() as tx:
            wanted = await self.submission.of_requests(tx, wishes, batch=True)
            self.work.create(tx, await self.reception.begin(tx, wanted, batch=True))

    async def end(self, job_id: str) -> None:
        """End whatever task of a job may end."""

        def finish(run: JobRun) -> None:
            for task in run.tasks.values():
                if task.status not in TASK.final and task.status is not TaskStatus.PENDING:
                    run.end(task, TaskStatus.SUCCEEDED, now())

        await self.work.change([job_id], finish, now())

    async def cancel(self, job_id: str) -> None:
        def cancel(run: JobRun) -> None:
            if not JOB.is_final(run.job.status):
                run.cancel(now())

        await self.work.change([job_id], cancel, now())


def wish(chance: random.Random) -> JobCreate:
    key = chance.choice(list(LIMITS))
    when_full = chance.choice(["queue"] * 5 + ["cancel_oldest", "cancel_newest", "reject"])
    fields: dict[str, Any] = {
        "command": "true",
        "priority": chance.choice(["low", "normal", "high"]),
        "concurrency_key": key,
        "concurrency": {"limit": LIMITS[key], "when_full": when_full},
    }
    if chance.random() < 0.2:
        fields["run_at"] = now() + timedelta(seconds=chance.random())
    return JobCreate.model_validate(fields)


async def holds(house: House) -> Counter[str]:
    """How many jobs hold each key. No key may be held by more than its limit, at any moment."""
    holding = Counter({row["key"]: row["holding"] for row in await house.database.fetch(HELD)})
    assert all(count <= LIMITS[key] for key, count in holding.items()), holding
    assert await house.database.fetch_value(TOO_EARLY) == 0
    assert await house.database.fetch_value(ASTRAY) == 0
    return holding


async def unfinished(house: House) -> list[str]:
    rows = await house.database.fetch("select id::text as id from jobs where finished_at is null order by id")
    return [row["id"] for row in rows]


@pytest.mark.parametrize("seed", range(4))
async def test_no_more_run_than_may_and_none_waits_for_nothing(
    house: House, migrated_database_url: str, seed: int
) -> None:
    """Submissions, ends, cancellations and admissions on two replicas at once, each of which may stop in the middle of
    what it does, or lose its connections; the next one knows nothing of its memory."""
    await house.part(Admission).stop()
    chance = random.Random(seed)
    made = 0

    async def fresh() -> Replica:
        nonlocal made
        made += 1
        replica = Replica(house, migrated_database_url, f"replica-{seed}-{made}")
        await replica.database.start()
        return replica

    def deed(replica: Replica, jobs: list[str]) -> Coroutine[Any, Any, object]:
        match chance.choice(["submit", "submit", "batch", "end", "end", "end", "cancel", "admit", "admit", "kill"]):
            case "submit":
                return replica.submit(wish(chance))
            case "batch":
                return replica.submit(*(wish(chance) for _ in range(4)))
            case "end" if jobs:
                return replica.end(chance.choice(jobs))
            case "cancel" if jobs:
                return replica.cancel(chance.choice(jobs))
            case "kill":
                sql = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1"
                return house.database.execute(sql, replica.name)
        return replica.admission.run_once()

    replicas = [await fresh(), await fresh()]
    try:
        for _ in range(ROUNDS):
            jobs = await unfinished(house)
            deeds = [asyncio.create_task(deed(chance.choice(replicas), jobs)) for _ in range(AT_ONCE)]
            if chance.random() < 0.4:  # a replica dies in the middle of what it does
                await asyncio.wait(deeds, timeout=chance.random() / 50)
                for one in deeds:
                    one.cancel()
                dead, replicas[0] = replicas[0], await fresh()
                await asyncio.wait(deeds)
                await dead.database.stop()
            for outcome in await asyncio.gather(*deeds, return_exceptions=True):
                if isinstance(outcome, BaseException) and not isinstance(outcome, EXPECTED):
                    raise outcome
            await holds(house)
            chance.shuffle(replicas)
        await settle(house, replicas[0])
        while jobs := await unfinished(house):
            before = len(jobs)
            for job_id in jobs:
                await replicas[0].end(job_id)
            await settle(house, replicas[1])
            assert len(await unfinished(house)) < before
        assert await house.database.fetch_value("select count(*) from claims") == 0
    finally:
        for replica in replicas:
            await replica.database.stop()


async def settle(house: House, replica: Replica) -> None:
    """Let a replica do all that there is to do, `run_at` included; then no job may wait that could begin."""
    async with asyncio.timeout(20):
        while True:
            replica.admission._next_sweep = 0.0  # a second is over
            counts = await replica.admission.run_once()
            later = await house.database.fetch_value("select count(*) from claims where not arrived")
            if not any(counts.values()) and not later:
                break
            await asyncio.sleep(0)
    holding = await holds(house)
    waiting = await house.database.fetch(
        "select key, count(*) as count from claims where held_at is null and superseded_by is null group by key"
    )
    for row in waiting:
        assert holding[row["key"]] == LIMITS[row["key"]], f"{row['count']} wait for {row['key']}, held by {holding}"
