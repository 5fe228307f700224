"""Measures what a long history costs: `python -m benchmarks.history`.

Two platforms run side by side, one with 1,000 finished jobs, the other with 1,000,000. Both are measured in turns:
submission, a lone job, and lists. Then the large one gets 100,000 further jobs that are older than it keeps, and lone
jobs are measured while retention deletes them.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.__main__ import latencies, single_posts
from benchmarks.filling import fill, original
from benchmarks.running import NotStarted, running_platform
from hodei.client import Client
from hodei.up import Platform

SMALL: Final = 1000
KEPT: Final = timedelta(days=90)
"""The default of HODEI_RETENTION_JOBS."""
LISTS: Final = {
    "100 jobs": "/api/v1/jobs?limit=100",
    "100 jobs by status": "/api/v1/jobs?limit=100&status=succeeded",
    "100 jobs by name": "/api/v1/jobs?limit=100&name=true",
    "failed jobs, of which there are none": "/api/v1/jobs?limit=100&status=failed",
    "100 jobs of a month ago": "/api/v1/jobs?limit=100&created_before={month}",
}


@dataclass
class Measured:
    """A platform and what was measured of it, in seconds (submissions: for each job)."""

    platform: Platform
    client: Client
    connection: asyncpg.Connection[Any]
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, what: str, seconds: Sequence[float]) -> None:
        self.seconds.setdefault(what, []).extend(seconds)


async def enter(stack: AsyncExitStack) -> Measured:
    """Start a platform that keeps jobs whatever their number is."""
    started = await stack.enter_async_context(running_platform(HODEI_RETENTION_JOBS_MAX="unlimited"))
    urls = started.platform.urls
    client = await stack.enter_async_context(Client(urls["orchestrator"], urls["scheduler"], urls["worker_manager"]))
    connection = await asyncpg.connect(started.platform.database_url)
    stack.push_async_callback(connection.close)
    return Measured(started.platform, client, connection)


async def round_of(both: Sequence[Measured], lists: Mapping[str, str]) -> None:
    """Measure everything once, in short turns: other programs on the machine then disturb both alike."""
    for _ in range(5):
        for one in both:
            one.add("submission, 8 at a time", [1 / await single_posts(one.client, 40, 8)])
    for _ in range(50):
        for one in both:
            one.add("a lone job", await latencies(one.client, 1))
    for name, path in lists.items():
        for _ in range(20):
            for one in both:
                start = time.perf_counter()
                await one.client.orchestrator.request("GET", path)
                one.add(f"list: {name}", [time.perf_counter() - start])


async def compare(small: Measured, large: Measured, rounds: int) -> Table:
    month = (await large.connection.fetchval("select now() - interval '30 days'")).strftime("%Y-%m-%dT%H:%M:%SZ")
    lists = {name: path.format(month=month) for name, path in LISTS.items()}
    for one in (small, large):
        await single_posts(one.client, 200, 8)  # warm
    for _ in range(rounds):
        await round_of((small, large), lists)
    jobs = [await one.connection.fetchval("select count(*) from orchestrator.jobs") for one in (small, large)]
    table = Table(title="Median milliseconds, in turns", title_justify="left", box=None)
    for column in ("what", f"{jobs[0]:,} jobs", f"{jobs[1]:,} jobs", "ratio"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for what in small.seconds:
        few, many = (statistics.median(one.seconds[what]) for one in (small, large))
        table.add_row(what, f"{few * 1e3:.2f}", f"{many * 1e3:.2f}", f"{many / few:.2f}")
    return table


async def deleting(large: Measured, small: Measured, old: int, lone: int) -> Table:
    """Lone jobs before and while `old` jobs are deleted; on the small platform too, at the same times."""
    table = Table(title=f"A lone job while {old:,} are deleted, milliseconds", title_justify="left", box=None)
    for column in ("when", "p50", "p99", "p50 of the small platform", "p99"):
        table.add_column(column, justify="left" if column == "when" else "right")
    found: dict[str, tuple[list[float], list[float]]] = {"before": ([], []), "meanwhile": ([], [])}
    await in_turns(found["before"], large, small, lone)
    one = await original(large.client, large.connection)
    await fill(large.connection, one, old, oldest=KEPT + timedelta(days=9), newest=KEPT + timedelta(days=1))
    remaining = f"select count(*) from orchestrator.jobs where finished_at < now() - interval '{KEPT.days} days'"
    async with asyncio.timeout(300):
        while await large.connection.fetchval(remaining) == old:  # noqa: ASYNC110  # nothing tells of its beginning
            await asyncio.sleep(0.5)
    left, start = await large.connection.fetchval(remaining), time.perf_counter()
    await in_turns(found["meanwhile"], large, small, lone)
    now_left, seconds = await large.connection.fetchval(remaining), time.perf_counter() - start
    for when, (of_large, of_small) in found.items():
        figures = [value for times in (of_large, of_small) for value in (_at(times, 50), _at(times, 99))]
        table.add_row(when, *(f"{value * 1e3:.1f}" for value in figures))
    before, meanwhile = (_at(found[when][0], 99) for when in ("before", "meanwhile"))
    table.add_row("ratio of the p99", "", f"{meanwhile / before:.2f}")
    table.add_row(f"deleted at {(left - now_left) / seconds:,.0f} jobs a second; {now_left:,} left")
    return table


async def in_turns(times: tuple[list[float], list[float]], large: Measured, small: Measured, count: int) -> None:
    for _ in range(count // 25):
        times[0].extend(await latencies(large.client, 25))
        times[1].extend(await latencies(small.client, 25))


def _at(times: Sequence[float], percent: int) -> float:
    return sorted(times)[len(times) * percent // 100]


async def run(*, jobs: int, old: int, rounds: int, lone: int) -> int:
    console = Console(width=140)
    try:
        async with AsyncExitStack() as stack:
            small, large = await enter(stack), await enter(stack)
            for one, count in ((small, SMALL), (large, jobs)):
                start = time.perf_counter()
                run_before = await original(one.client, one.connection)
                await fill(one.connection, run_before, count, oldest=timedelta(days=60), newest=timedelta(minutes=5))
                console.print(f"{count:,} finished jobs filled in {time.perf_counter() - start:.0f} s")
            console.print(await compare(small, large, rounds))
            if old:
                console.print(await deleting(large, small, old, lone))
    except NotStarted as error:
        return error.exit_code
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench-history", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="finished jobs of the large platform")
    parser.add_argument("--old", type=int, default=100_000, help="jobs to delete; 0 leaves that part out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lone", type=int, default=500, help="lone jobs before and during the deletion")
    options = parser.parse_args(arguments)
    return uvloop.run(run(jobs=options.jobs, old=options.old, rounds=options.rounds, lone=options.lone))


if __name__ == "__main__":
    raise SystemExit(main())
