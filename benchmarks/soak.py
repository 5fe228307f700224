"""Runs a platform for a while at a fixed rate, and prints what grows: `python -m benchmarks.soak`.

Jobs of /bin/true are submitted at a fixed rate and kept for a minute. What belongs to the jobs that are kept should
level off. Two things grow with the time on purpose, up to their own limits: what is kept for a day (the scheduler's
ended attempts, idempotency keys), and the streams (seven days, or their `max_bytes`).
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from typing import Final

import aiohttp
import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.footprint import FOR_A_DAY, SCHEMAS, SIZES
from benchmarks.running import NotStarted, processes, running_platform
from hodei.client import Client
from hodei.up import Platform
from schemas.rest.jobs import JobCreate
from shared.postgres import Database

TRUE: Final = JobCreate(command=["/bin/true"], type="exec", name="true")
BATCHES: Final = 2.0
"""Batches of submissions in a second."""
MIB: Final = 2**20

Sample = dict[str, float]
"""The figures of one moment, by the heading of their column."""


async def submit(client: Client, rate: float, seconds: float, count: list[int]) -> None:
    """Submit `rate` jobs a second, in batches at fixed times. `count` has how many so far."""
    start, sent = time.monotonic(), 0
    while (elapsed := time.monotonic() - start) < seconds:
        if wanted := round(rate * (elapsed + 1 / BATCHES)) - sent:
            await client.submit_many([TRUE] * min(wanted, 1000))
            sent += min(wanted, 1000)
            count[0] = sent
        await asyncio.sleep(max(0.0, sent / rate - (time.monotonic() - start)))


async def sample(platform: Platform, database: Database, session: aiohttp.ClientSession) -> Sample:
    """What everything takes now, in MiB where it is a size."""
    found: Sample = {"jobs kept": await database.fetch_value("select count(*) from orchestrator.jobs")}
    for name, (size, _) in sorted(processes().items()):
        found[f"memory of {name}"] = size
    files = 0
    for child in psutil.Process().children(recursive=True):
        try:
            files += child.num_fds()
        except psutil.Error:
            continue  # it has ended in the meantime
    found["file descriptors"] = files
    rows = await database.fetch(SIZES, list(SCHEMAS))
    parts = {"tables": 0, "indexes": 0, "kept for a day": 0, "outboxes": 0}
    for row in rows:
        if row["owner"] in FOR_A_DAY:
            part = "kept for a day"
        elif row["owner"].endswith(".outbox"):
            part = "outboxes"
        else:
            part = "tables" if row["part"] in ("", "toast") else "indexes"
        parts[part] += row["bytes"]
    found |= {part: size / MIB for part, size in parts.items()}
    if platform.nats is not None:
        async with session.get(f"{platform.nats.monitoring_url}/jsz?streams=true") as answer:
            streams = (await answer.json())["account_details"][0]["stream_detail"]
        found |= {f"stream {one['name']}": one["state"]["bytes"] / MIB for one in streams}
    return found


async def soak(platform: Platform, console: Console, *, minutes: float, rate: float, every: float) -> list[Sample]:
    urls, samples, count = platform.urls, [], [0]
    database = Database(platform.database_url, schema="orchestrator", name="benchmark")
    await database.start()
    try:
        async with (
            aiohttp.ClientSession() as session,
            Client(urls["orchestrator"], urls["scheduler"], urls["worker_manager"]) as client,
        ):
            start = time.monotonic()
            submitting = asyncio.create_task(submit(client, rate, minutes * 60, count))
            while not submitting.done():
                await asyncio.wait([submitting], timeout=every)
                found = await sample(platform, database, session)
                samples.append(found)
                figures = ", ".join(f"{name} {value:,.1f}" for name, value in found.items() if name in _SHOWN)
                console.print(f"{(time.monotonic() - start) / 60:5.1f} min, {count[0]:,} jobs: {figures}")
            await submitting
    finally:
        await database.stop()
    return samples


_SHOWN: Final = {
    "jobs kept",
    "file descriptors",
    "tables",
    "indexes",
    "kept for a day",
    "outboxes",
    "stream hodei-events",
}


def shown(samples: Sequence[Sample]) -> Table:
    """The second and the last quarter of the time side by side: what has levelled off is about the same in both."""
    table = Table(title="Means; sizes in MiB", title_justify="left", box=None)
    for column in ("what", "second quarter", "last quarter", "ratio"):
        table.add_column(column, justify="left" if column == "what" else "right")
    quarter = max(1, len(samples) // 4)
    for name in samples[-1]:
        earlier, later = (
            sum(one.get(name, 0.0) for one in part) / quarter
            for part in (samples[quarter : 2 * quarter] or samples[:1], samples[-quarter:])
        )
        table.add_row(name, f"{earlier:,.1f}", f"{later:,.1f}", f"{later / earlier:.2f}" if earlier else "")
    return table


async def run(*, minutes: float, rate: float, every: float) -> int:
    console = Console(width=160)
    try:
        async with running_platform(HODEI_RETENTION_JOBS="1m") as started:
            samples = await soak(started.platform, console, minutes=minutes, rate=rate, every=every)
    except NotStarted as error:
        return error.exit_code
    console.print(shown(samples))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=20, help="jobs a second")
    parser.add_argument("--every", type=float, default=15, help="seconds between two lines")
    options = parser.parse_args(arguments)
    return uvloop.run(run(minutes=options.minutes, rate=options.rate, every=options.every))


if __name__ == "__main__":
    raise SystemExit(main())
