"""Measures what pipelines cost: `python -m benchmarks.pipelines`.

The first table has the cost of advancing a job, for each finished task, in a small job and in a large one of the
same shape: it should be about the same. *rules* is the state machine alone (`JobRun`), *stored* is the orchestrator's
unit of work on a real PostgreSQL with the job in memory, and *loaded* the same for a job that is not in memory, as when
several orchestrators share the work. Each task is reported alone: placed, started and finished in one batch.

The second table has a chain of steps of /bin/true on a running platform, beside as many single jobs one after another.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.running import NotStarted, processes, running_platform
from hodei.client import Client
from hodei.embedded.nats import EmbeddedNats
from hodei.embedded.postgres import EmbeddedPostgres
from orchestrator.domain.making import NewJob
from orchestrator.domain.run import TaskReport
from orchestrator.domain.standing import Reported
from orchestrator.domain.wanted import RunnablePipeline, wanted_of_pipeline
from orchestrator.memory import RunMemory
from orchestrator.settings import OrchestratorSettings
from orchestrator.store.claims import ClaimStore
from orchestrator.store.jobs import JobStore
from orchestrator.store.runs import RunStore
from orchestrator.store.timeline import timeline_rows
from orchestrator.submission import begin_all
from orchestrator.traces import Traces
from orchestrator.unit_of_work import UnitOfWork
from orchestrator.watch import Watch
from schemas.events import ExecutionFinished, ExecutionStarted, LogSummary, TaskScheduled
from schemas.rest.jobs import JobCreate
from schemas.specs import RunSpec
from schemas.states import ExecutionStatus, JobStatus
from schemas.steps import STEPS
from shared.clock import now
from shared.foundation import Foundation
from shared.ids import new_id
from shared.outbox import Outbox
from shared.service import Service, start_all, stop_all
from shared.telemetry import configure_logging

TRUE: Mapping[str, object] = {"command": ["/bin/true"], "type": "exec"}
RUN = RunSpec(command=["/bin/true"], type="exec")
WORKER, INCARNATION = new_id(), new_id()
SMALL_JOBS = 10
"""So many small jobs are measured for each large one."""
LOADED_TASKS = 60
"""So many tasks of a job are measured where each of them loads the whole job."""


def chain(count: int) -> list[dict[str, object]]:
    """Steps of which each depends on the one before."""
    return [{**TRUE, "name": f"s{n}", "depends_on": [f"s{n - 1}"] if n else []} for n in range(count)]


def fan(count: int) -> list[dict[str, object]]:
    """A step, many that depend on it, and one that depends on all of these."""
    middle = [f"m{n}" for n in range(count - 2)]
    return [
        {**TRUE, "name": "first"},
        *({**TRUE, "name": name, "depends_on": ["first"]} for name in middle),
        {**TRUE, "name": "last", "depends_on": middle},
    ]


def matrix(count: int) -> list[dict[str, object]]:
    """Like `fan`, with one step of `count` tasks in the middle, of which eight run at a time."""
    values = {"n": list(range(count)), "max_parallel": 8}
    return [
        {**TRUE, "name": "first"},
        {**TRUE, "name": "each", "depends_on": ["first"], "matrix": values, "env": {"N": "${{ matrix.n }}"}},
        {**TRUE, "name": "last", "depends_on": ["each"]},
    ]


SHAPES = {"chain": (chain, (10, 1000)), "fan-out and fan-in": (fan, (10, 1000)), "matrix": (matrix, (10, 256))}


def new_job(steps: Sequence[Mapping[str, object]]) -> NewJob:
    """A job of these steps, not written yet."""
    pipeline = RunnablePipeline(None, "measured", None, STEPS.validate_python(list(steps)), {}, None)
    [job] = begin_all([wanted_of_pipeline(new_id(), pipeline, None, env={}, params={})])
    return job


def reports_of(job: NewJob) -> list[list[TaskReport]]:
    """For each task, in the order of the steps, what the other services report of it."""
    return [_life(job.run.job.id, task.id, task.name) for task in job.run.tasks.values()]


def _life(job_id: str, task_id: str, name: str) -> list[TaskReport]:
    moment, execution_id = now(), new_id()
    placed = TaskScheduled(
        task_id=task_id,
        job_id=job_id,
        attempt=1,
        name=name,
        execution_id=execution_id,
        worker_id=WORKER,
        incarnation=INCARNATION,
        run=RUN,
        scheduled_at=moment,
    )
    started = ExecutionStarted(
        execution_id=execution_id,
        task_id=task_id,
        job_id=job_id,
        attempt=1,
        worker_id=WORKER,
        incarnation=INCARNATION,
        started_at=moment,
    )
    finished = ExecutionFinished(
        execution_id=execution_id,
        task_id=task_id,
        job_id=job_id,
        attempt=1,
        worker_id=WORKER,
        incarnation=INCARNATION,
        started_at=moment,
        finished_at=moment,
        status=ExecutionStatus.SUCCEEDED,
        exit_code=0,
        log=LogSummary(chunks=0, lines=0),
    )
    return [placed, started, finished]


def rules(steps: Sequence[Mapping[str, object]]) -> float:
    """Seconds of CPU for each task to change the job, and to make its events and its row of the timeline."""
    job = new_job(steps)
    run, reports, moment = job.run, reports_of(job), now()
    run.written()
    start = time.process_time()
    for batch in reports:
        for report in batch:
            run.apply(report, moment)
        list(run.events(job.commands))
        timeline_rows([run])
        run.written()
    seconds = time.process_time() - start
    _check(run.job.status)
    return seconds / len(reports)


async def stored(work: UnitOfWork, outbox: Outbox, steps: Sequence[Mapping[str, object]], most: int) -> float:
    """Seconds for each task until its reports are committed, for at most so many tasks of the job, the last ones."""
    job = new_job(steps)
    reports = reports_of(job)
    async with outbox.transaction() as tx:
        work.create(tx, [job])
    if earlier := [Reported(report) for batch in reports[:-most] for report in batch]:
        await work.apply(earlier, now())
    start = time.perf_counter()
    for batch in reports[-most:]:
        applied = await work.apply([Reported(report, by_agent=True) for report in batch], now())
    seconds = time.perf_counter() - start
    _check(applied.runs[job.run.job.id].job.status)
    return seconds / min(most, len(reports))


def _check(status: JobStatus) -> None:
    if status is not JobStatus.SUCCEEDED:
        raise RuntimeError(f"the figures mean nothing: a job is {status.value} when all its tasks were reported")


@asynccontextmanager
async def foundation() -> AsyncIterator[Foundation]:
    """The common parts of an orchestrator, on servers of its own."""
    with tempfile.TemporaryDirectory(prefix="hodei-pipelines-") as folder:
        async with EmbeddedNats(Path(folder) / "nats") as nats, EmbeddedPostgres(Path(folder) / "postgres") as postgres:
            base = Foundation(OrchestratorSettings(nats_url=nats.url, database_url=postgres.url, port=0, feed="off"))
            started: list[Service] = []
            try:
                await start_all(base.services, started)
                yield base
            finally:
                await stop_all(started, deadline=10)


async def advancing(rounds: int) -> Table:
    """The table of what a finished task costs."""
    table = _table(f"Advancing a job, µs for each finished task, on {os.cpu_count()} cores", "shape and tasks", "part")
    for column in ("small job", "large job", "ratio"):
        table.add_column(column, justify="right")
    async with foundation() as base:
        for name, (shape, sizes) in SHAPES.items():
            jobs = [shape(size) for size in sizes]
            for part in ("rules", "stored", "loaded"):
                costs: list[list[float]] = [[], []]
                for _ in range(rounds):
                    for _ in range(SMALL_JOBS):
                        costs[0].append(await _cost(base, part, jobs[0]))
                    costs[1].append(await _cost(base, part, jobs[1]))
                small, large = (statistics.median(one) * 1e6 for one in costs)
                of = f"{name}, {sizes[0]} and {sizes[1]:,}" if part == "rules" else ""
                table.add_row(of, part, f"{small:,.0f}", f"{large:,.0f}", f"{large / small:.2f}")
    return table


async def _cost(base: Foundation, part: str, steps: Sequence[Mapping[str, object]]) -> float:
    if part == "rules":
        return rules(steps)
    memory = RunMemory() if part == "stored" else RunMemory(max_tasks=0)
    watch = Watch(base.bus, ended=memory.forget, missed=memory.clear)
    database = base.database
    work = UnitOfWork(
        base.outbox, JobStore(database), RunStore(database), ClaimStore(database), Traces(base.tracing), memory, watch
    )
    return await stored(work, base.outbox, steps, 10_000 if part == "stored" else LOADED_TASKS)


async def chain_of(client: Client, count: int) -> float:
    """Seconds from POST until a job of a chain has ended."""
    start = time.perf_counter()
    job = await client.submit({"pipeline": {"name": "chain", "steps": chain(count)}})
    _check((await client.wait(job.id, timeout=120)).status)
    return time.perf_counter() - start


async def one_by_one(client: Client, count: int) -> float:
    """Seconds for as many single jobs, each submitted when the one before has ended."""
    start = time.perf_counter()
    for _ in range(count):
        job = await client.submit(JobCreate(command=["/bin/true"], type="exec", name="true"))
        _check((await client.wait(job.id, timeout=30)).status)
    return time.perf_counter() - start


async def chains(steps: int, rounds: int) -> Table:
    """The table of a chain on a running platform."""
    table = _table(f"A chain of {steps} steps of /bin/true on {os.cpu_count()} cores", "what", "figure", "note")
    async with running_platform() as started:
        urls = started.platform.urls
        async with Client(urls["orchestrator"], urls["scheduler"], urls["worker_manager"]) as client:
            await chain_of(client, steps)  # warm
            await one_by_one(client, steps)
            walls, singles = [], []
            spent: dict[str, float] = {}
            for _ in range(rounds):
                before = processes()
                walls.append(await chain_of(client, steps))
                for name, (_, seconds) in processes().items():
                    spent[name] = spent.get(name, 0.0) + seconds - before.get(name, (0.0, 0.0))[1]
                singles.append(await one_by_one(client, steps))
    wall, single = statistics.median(walls), statistics.median(singles)
    table.add_row("POST to the end, median", f"{wall:.3f} s", "rounds " + ", ".join(f"{one:.3f}" for one in walls))
    table.add_row(f"{steps} single jobs, one by one", f"{single:.3f} s", f"the chain takes {wall / single:.2f} of it")
    for name, seconds in spent.items():
        table.add_row(f"    CPU of a chain: {name}", f"{seconds / rounds * 1e3:.0f} ms", "")
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None)
    for column in columns:
        table.add_column(column)
    return table


async def run(*, steps: int, rounds: int) -> int:
    configure_logging(service="benchmark", level="warning")
    console = Console(width=140)
    console.print(await advancing(rounds))
    try:
        console.print(await chains(steps, rounds))
    except NotStarted as error:
        return error.exit_code
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make bench-pipelines", description=__doc__)
    parser.add_argument("--steps", type=int, default=40, help="of the chain")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    raise SystemExit(uvloop.run(run(steps=options.steps, rounds=options.rounds)))
