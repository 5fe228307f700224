"""Executions go by age, with their job, and when their job turns out not to exist; and never on a guess."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime, timedelta

import pytest

from schemas.events import JobDeleted
from schemas.ids import first_id_at
from shared.errors import Unavailable
from shared.ids import new_id
from shared.postgres import Database, migrate
from shared.retention import Retention
from shared.telemetry import Metrics
from tests.integration.worker_manager.conftest import Platform, Start
from tests.unit.worker_manager.events import said
from worker_manager.retention import PAGE, SWEEP_EVERY, Deletions, Executions, Strays
from worker_manager.store.retention import RetentionStore

AGE = timedelta(days=30)
NOW = datetime.now(UTC)
OLD, YOUNG = NOW - AGE - timedelta(hours=1), NOW - AGE + timedelta(hours=1)
JOB = new_id()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, schema="worker_manager", name="test", min_size=1, max_size=1)
    await database.start()
    try:
        await migrate(database, "worker_manager")
        yield database
    finally:
        await database.stop()


async def executions(
    database: Database, count: int, ended: datetime | None, *, job: str = JOB, request: str | None = None
) -> list[str]:
    """Insert executions of a job, which were placed ten minutes before their end. Returns their ids in order."""
    prefix = first_id_at((ended or OLD) - timedelta(minutes=10))[:18]
    ids = [f"{prefix}-8000-{new_id()[-4:]}{number:08x}" for number in range(count)]
    await database.execute(
        """
        insert into executions (id, task_id, job_id, attempt, status, rank, finished_at, request)
        select id, gen_random_uuid(), $2::uuid, 1, $3, $4, $5, $6 from unnest($1::uuid[]) id
        """,
        *(ids, job, "running" if ended is None else "succeeded", 1 if ended is None else 2, ended, request),
    )
    return ids


async def kept(database: Database) -> set[str]:
    return {row["id"] for row in await database.fetch("select id::text from executions")}


async def test_executions_go_by_their_age(database: Database) -> None:
    await executions(database, PAGE + 3, OLD)
    rest = [*await executions(database, 2, YOUNG), *await executions(database, 1, None)]
    metrics = Metrics()
    retention = Retention([Executions(RetentionStore(database), age=AGE)], metrics, rest=0)

    assert await retention.run_once() == {"executions": PAGE + 3}

    assert await kept(database) == set(rest)
    oldest = metrics.value("hodei_retention_oldest_seconds", kind="executions")
    assert oldest == pytest.approx((datetime.now(UTC) - YOUNG).total_seconds(), abs=600)
    assert await retention.run_once() == {"executions": 0}


async def test_executions_without_a_limit_stay_as_long_as_their_job(database: Database) -> None:
    [one] = await executions(database, 1, OLD)
    assert (await Executions(RetentionStore(database), age=None).batch()).deleted == 0
    assert await kept(database) == {one}


async def test_the_executions_of_a_deleted_job_go_page_by_page(database: Database) -> None:
    await executions(database, PAGE + 1, NOW)
    [other] = await executions(database, 1, NOW, job=new_id())
    metrics = Metrics()
    deletions = Deletions(RetentionStore(database), Retention([], metrics).counter("executions_of_deleted_jobs"))

    for _ in range(2):  # an event may come twice
        await deletions.handle([said(JobDeleted(job_id=JOB, cause="request"))])

    assert await kept(database) == {other}
    assert metrics.value("hodei_retention_deleted_total", kind="executions_of_deleted_jobs") == PAGE + 1


async def test_the_worker_manager_hears_of_deleted_jobs(platform: Platform, start: Start) -> None:
    manager = await start()
    await executions(platform.database, 2, NOW)
    consumer = manager.consumer("worker-manager-deletions")
    await platform.say(JobDeleted(job_id=JOB, cause="retention"))
    await consumer.until(lambda: consumer.handled >= 1, deadline=15)
    assert await kept(platform.database) == set()


class Orchestrator:
    """The orchestrator, which is asked which jobs do not exist."""

    def __init__(self, *jobs: str) -> None:
        self.jobs = set(jobs)
        self.asked: list[list[str]] = []
        self.away = False

    async def missing(self, job_ids: Collection[str]) -> Collection[str]:
        self.asked.append(list(job_ids))
        if self.away:
            raise Unavailable("the orchestrator")
        return [one for one in job_ids if one not in self.jobs]


async def test_executions_whose_job_does_not_exist_are_found_and_deleted(database: Database) -> None:
    gone, there = new_id(), new_id()
    await executions(database, PAGE, OLD, job=gone)
    await executions(database, 1, None, job=gone)  # its start arrived after the job was deleted
    rest = [
        *await executions(database, 2, OLD, job=there),
        *await executions(database, 1, None, job=gone, request="{}"),  # the orchestrator has not made its job yet
        *await executions(database, 1, NOW, job=gone),  # its job may be about to be made
    ]
    orchestrator = Orchestrator(there)
    strays = Strays(RetentionStore(database), orchestrator.missing)

    assert await Retention([strays], Metrics(), rest=0).run_once() == {"executions_without_job": PAGE + 1}

    assert await kept(database) == set(rest)
    assert all(len(jobs) == len(set(jobs)) for jobs in orchestrator.asked)


async def test_nothing_is_deleted_while_the_orchestrator_does_not_answer(database: Database) -> None:
    ids = await executions(database, 2, OLD)
    orchestrator = Orchestrator()
    orchestrator.away = True
    retention = Retention([Strays(RetentionStore(database), orchestrator.missing)], Metrics(), rest=0)
    await retention.run_once()
    assert await kept(database) == set(ids)
    orchestrator.away = False
    await retention.run_once()
    assert await kept(database) == set(), "it asks again in the next run"


async def test_the_orchestrator_is_asked_once_an_hour(database: Database) -> None:
    await executions(database, 1, OLD)
    clock = 0.0
    orchestrator = Orchestrator(JOB)
    strays = Strays(RetentionStore(database), orchestrator.missing, clock=lambda: clock)
    for clock in (0.0, 1.0, SWEEP_EVERY - 1, SWEEP_EVERY, SWEEP_EVERY + 1):  # noqa: B007 - the lambda reads it
        await strays.batch()
    assert len(orchestrator.asked) == 2
