"""Times the calls of all pages of the console, with a long history: `python -m benchmarks.lists`.

A platform with access on is filled with 1,000,000 finished jobs, of which most succeeded, some failed, and some are
runs of a pipeline with parameters and labels; with their executions, all but a few on one worker; with as many entries
in the audit log; with 10,000 tasks that wait; and with 1,000 workers, schedules (with 100 firings each), pipelines and
tokens. Then each call (`benchmarks.console_calls`) is made several times, one after the other. It exits with 1 if one
takes 100 ms or more.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Final

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.console_calls import Call, Shown, calls
from benchmarks.filling import Original, fill, original
from benchmarks.filling_pages import fill_pages
from benchmarks.running import NotStarted, admin_client, running_platform
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


async def measure(client: Client, wanted: Sequence[Call], rounds: int) -> tuple[Table, int]:
    """A table of the calls, and how many were too slow."""
    table = Table(title="Milliseconds", title_justify="left", box=None)
    for column in ("page", "call", "median", "longest"):
        table.add_column(column, justify="left" if column in ("page", "call") else "right")
    times: list[list[float]] = [[] for _ in wanted]
    for _ in range(rounds):
        for call, seconds in zip(wanted, times, strict=True):
            seconds.append(await timed(client, call))
    slow, page = 0, ""
    for call, seconds in zip(wanted, times, strict=True):
        median = statistics.median(seconds)
        slow += median >= LIMIT
        style = "bold red" if median >= LIMIT else None
        title = call.page if call.page != page else ""
        table.add_row(title, call.what, f"{median * 1e3:.1f}", f"{max(seconds) * 1e3:.1f}", style=style)
        page = call.page
    return table, slow


async def timed(client: Client, call: Call) -> float:
    """Seconds of a call."""
    service = client.service(call.service.replace("_", "-"))
    body = None if call.body is None else json.dumps(call.body).encode()
    start = time.perf_counter()
    await service.request("GET" if body is None else "POST", call.path, body=body)
    return time.perf_counter() - start


async def run(*, jobs: int, rounds: int) -> int:
    console = Console(width=120)
    try:
        async with AsyncExitStack() as stack:
            started = await stack.enter_async_context(
                running_platform(HODEI_AUTH="on", HODEI_RETENTION_JOBS_MAX="unlimited")
            )
            client = await stack.enter_async_context(admin_client(started))
            connection = await asyncpg.connect(started.platform.database_url)
            stack.push_async_callback(connection.close)
            start = time.perf_counter()
            originals, pipeline = await kinds(client, connection)
            for one, share in originals:
                await fill(connection, one, int(jobs * share), oldest=OLDEST, newest=NEWEST)
            filled = await fill_pages(client, connection, calls=jobs, waiting=min(jobs, 10_000))
            console.print(f"{jobs:,} finished jobs filled in {time.perf_counter() - start:.0f} s")
            shown = Shown(filled, pipeline, originals[0][0].job_id, (await client.whoami()).name or "")
            table, slow = await measure(client, calls(shown), rounds)
            console.print(table)
            console.print(f"{slow} of them took {LIMIT * 1e3:.0f} ms or more")
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
