"""Times every list and number that the console asks for, with a long history: `python -m benchmarks.lists`.

A platform is filled with 1,000,000 finished jobs: most succeeded, some failed, and some are runs of a pipeline with
parameters and labels. Then each call is made several times. It exits with 1 if one takes 100 ms or more.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.filling import Original, fill, original
from benchmarks.running import NotStarted, running_platform
from hodei.client import Client
from schemas.rest.jobs import JobCreate

LIMIT: Final = 0.1
"""The most seconds that a call may take, as a median."""
OLDEST: Final = timedelta(days=60)
NEWEST: Final = timedelta(minutes=5)
PIPELINE: Final = {
    "name": "deploy",
    "params": {"env": {"type": "string"}, "n": {"type": "integer"}},
    "steps": [{"name": "main", "command": ["/bin/true"], "type": "exec"}],
}


async def kinds(client: Client, connection: asyncpg.Connection[Any]) -> tuple[list[tuple[Original, float]], str]:
    """Jobs to copy, each with its share, and the id of the pipeline."""
    pipeline = (await client.create_pipeline(PIPELINE)).id
    labels = {"team": "web", "tier": "1"}
    run = JobCreate(pipeline_id=pipeline, params={"env": "prod", "n": 3}, labels=labels)
    wanted = [
        (JobCreate(command=["/bin/true"], type="exec", name="true"), 0.93),
        (JobCreate(command=["/bin/false"], type="exec", name="nightly-1"), 0.02),
        (run, 0.05),
    ]
    return [(await original(client, connection, job), share) for job, share in wanted], pipeline


def calls(pipeline: str, job: str) -> dict[str, str]:
    """The calls by what they show. Some match many jobs, some few, some none."""
    now = datetime.now(UTC)
    hour, day, month = (
        (now - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%SZ") for ago in ({"hours": 1}, {"days": 1}, {"days": 30})
    )
    jobs = {
        "all": "",
        "failed": "status=failed",
        "failed or cancelled": "status=failed,cancelled",
        "succeeded or running": "status=succeeded,running",
        "running, of which there are none": "status=running",
        "with a name": "name=true",
        "whose names begin": "name=nightly*",
        "whose names begin, many": "name=t*",
        "whose names begin, none": "name=zzz*",
        "of a pipeline, by name": "pipeline=deploy",
        "of a pipeline, failed": f"pipeline={pipeline}&status=failed",
        "with a label": "label=team=web",
        "with a parameter": "parameter=env=prod",
        "with a parameter, none": "parameter=env=test",
        "created in the last hour": f"created_after={hour}",
        "created a month ago": f"created_before={month}",
        "ended in the last day, failed": f"status=failed&finished_after={day}",
        "ended a month ago": f"finished_before={month}",
        "with a short id": f"short_id={job[-8:]}",
        "submitted by a token, none": "created_by=ana",
    }
    return {
        **{f"100 jobs {what}": f"/api/v1/jobs?limit=100&{query}".rstrip("&") for what, query in jobs.items()},
        "jobs by status": "/api/v1/jobs/counts",
        "throughput of a day": "/api/v1/jobs/throughput",
        "throughput of a month": f"/api/v1/jobs/throughput?since={month}&step=3600",
        "the runs of a pipeline": f"/api/v1/pipelines/{pipeline}/statistics",
        "pipelines": "/api/v1/pipelines?name=dep*",
        "a job": f"/api/v1/jobs/{job}",
        "its timeline": f"/api/v1/jobs/{job}/events",
        "approvals": "/api/v1/approvals",
    }


async def measure(client: Client, wanted: dict[str, str], rounds: int) -> tuple[Table, int]:
    """A table of the calls, and how many were too slow."""
    table = Table(title="Milliseconds", title_justify="left", box=None)
    for column in ("call", "median", "longest"):
        table.add_column(column, justify="left" if column == "call" else "right")
    times: dict[str, list[float]] = {what: [] for what in wanted}
    for _ in range(rounds):
        for what, path in wanted.items():
            start = time.perf_counter()
            await client.orchestrator.request("GET", path)
            times[what].append(time.perf_counter() - start)
    slow = 0
    for what, seconds in times.items():
        median = statistics.median(seconds)
        slow += median >= LIMIT
        table.add_row(what, f"{median * 1e3:.1f}", f"{max(seconds) * 1e3:.1f}")
    return table, slow


async def run(*, jobs: int, rounds: int) -> int:
    console = Console(width=120)
    try:
        async with AsyncExitStack() as stack:
            started = await stack.enter_async_context(running_platform(HODEI_RETENTION_JOBS_MAX="unlimited"))
            urls = started.platform.urls
            client = await stack.enter_async_context(
                Client(urls["orchestrator"], urls["scheduler"], urls["worker_manager"])
            )
            connection = await asyncpg.connect(started.platform.database_url)
            stack.push_async_callback(connection.close)
            start = time.perf_counter()
            originals, pipeline = await kinds(client, connection)
            for one, share in originals:
                await fill(connection, one, int(jobs * share), oldest=OLDEST, newest=NEWEST)
            console.print(f"{jobs:,} finished jobs filled in {time.perf_counter() - start:.0f} s")
            table, slow = await measure(client, calls(pipeline, originals[0][0].job_id), rounds)
            console.print(table)
    except NotStarted as error:
        return error.exit_code
    return 1 if slow else 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench-lists", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="finished jobs")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args(arguments)
    return uvloop.run(run(jobs=options.jobs, rounds=options.rounds))


if __name__ == "__main__":
    raise SystemExit(main())
