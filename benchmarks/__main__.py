"""Measures a platform that it starts as `hodei up` does, and prints one table.

All figures are from one run on one machine, beside the machine's own limit (`xargs -P8`); compare the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import time

import aiohttp
import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.running import NotStarted, processes, running_platform
from hodei.client import Client
from hodei.up import Platform
from hodei.up_keys import UpKeys
from hodei.up_settings import variable_of
from schemas.rest.jobs import JobCreate

TRUE = JobCreate(command=["/bin/true"], type="exec", name="true")
BATCH = 500


async def single_posts(client: Client, count: int, at_once: int) -> float:
    """`POST /jobs` per second with `at_once` requests in flight; a job is durable when its response arrives."""
    left = iter(range(count))

    async def poster() -> None:
        for _ in left:
            await client.submit(TRUE)

    start = time.perf_counter()
    await asyncio.gather(*(poster() for _ in range(at_once)))
    rate = count / (time.perf_counter() - start)
    await _until_idle(client)
    return rate


async def throughput(client: Client, count: int) -> float:
    """Jobs of /bin/true per second, from the first submission to the last stored outcome."""
    start = time.perf_counter()
    last: list[str] = []
    for first in range(0, count, BATCH):
        jobs = await client.submit_many([TRUE] * min(BATCH, count - first))
        last = [job.id for job in jobs]
    await client.wait(last[-1], timeout=120)
    await _until_idle(client)
    return count / (time.perf_counter() - start)


async def check_outcomes(client: Client) -> None:
    """Raises RuntimeError unless all jobs succeeded, as they ran only /bin/true."""
    for status in ("pending", "running", "failed", "cancelled"):
        if wrong := [job.id async for job in client.jobs(status=status, limit=1000)]:
            raise RuntimeError(f"the figures mean nothing: {len(wrong)} jobs are {status}, among them {wrong[0]}")


async def _until_idle(client: Client) -> None:
    async with asyncio.timeout(120):
        for status in ("pending", "running"):
            while open_ids := [job.id async for job in client.jobs(status=status, limit=1)]:
                await client.wait(open_ids[-1], timeout=120)


async def latencies(client: Client, count: int) -> list[float]:
    """Seconds from POST until the outcome is visible, one job at a time on an idle platform."""
    found = []
    for _ in range(count):
        start = time.perf_counter()
        job = await client.submit(TRUE)
        await client.wait(job.id, timeout=30)
        found.append(time.perf_counter() - start)
    return found


async def reads(client: Client, count: int) -> dict[str, float]:
    """Median seconds of each kind of read."""
    job = await client.submit(TRUE)
    await client.wait(job.id, timeout=30)
    paths = {"one job": f"/api/v1/jobs/{job.id}", "100 jobs": "/api/v1/jobs"}
    found = {}
    for name, path in paths.items():
        times = []
        for _ in range(count):
            start = time.perf_counter()
            await client.orchestrator.request("GET", path)
            times.append(time.perf_counter() - start)
        found[name] = statistics.median(times)
    return found


def xargs(count: int) -> float:
    """The machine's limit: processes per second of `xargs -P8`."""
    start = time.perf_counter()
    subprocess.run(f"seq {count} | xargs -P8 -n1 /bin/true", shell=True, check=True)
    return count / (time.perf_counter() - start)


def alone(count: int) -> float:
    """The machine's limit for one job at a time: median seconds to run /bin/true from this process and wait for it."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        subprocess.run(["/bin/true"], check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


async def start_ups(platform: Platform) -> dict[str, tuple[float, float]]:
    """For one more process of each service: seconds from its start until it is healthy, and its resident MiB then."""
    found = {}
    async with aiohttp.ClientSession() as session:
        for name in platform.urls:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            environment = {
                **os.environ,
                **UpKeys(platform.settings).of_service(name),
                "NATS_URL": platform.nats_url,
                "DATABASE_URL": platform.database_url,
                variable_of(name): str(port),
                "HODEI_DATA_DIR": str(platform.settings.data_dir / f"another-{name}"),
                "HODEI_LOG_LEVEL": "error",
            }
            start = time.perf_counter()
            process = await asyncio.create_subprocess_exec(sys.executable, "-m", name, env=environment)
            try:
                async with asyncio.timeout(30):
                    while not await _healthy(session, f"http://127.0.0.1:{port}/health"):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                seconds = time.perf_counter() - start
                found[name] = (seconds, psutil.Process(process.pid).memory_info().rss / 2**20)
            finally:
                process.terminate()
                await process.wait()
    return found


async def _healthy(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def measure(platform: Platform, started_in: float, *, jobs: int, rounds: int) -> Table:
    urls = platform.urls
    table = Table(title=f"Hodei Jobs on {os.cpu_count()} cores", title_justify="left", box=None)
    for column in ("what", "figure", "note"):
        table.add_column(column)
    async with Client(urls["orchestrator"], urls["scheduler"], urls["worker_manager"]) as client:
        memory = processes()
        await throughput(client, 200)  # warm
        single = [await single_posts(client, 500, 8) for _ in range(rounds)]
        table.add_row("(a) POST /jobs, 8 at a time", f"{statistics.median(single):.0f}/s", "durable when answered")
        rates, limits = [], []
        before = processes()
        for _ in range(rounds):
            limits.append(await asyncio.to_thread(xargs, jobs))
            rates.append(await throughput(client, jobs))
        after = processes()
        ratio = statistics.median(rate / limit for rate, limit in zip(rates, limits, strict=True))
        table.add_row(
            f"(b) {jobs} jobs of /bin/true, 8 slots",
            f"{statistics.median(rates):.0f}/s",
            f"{ratio:.2f} of xargs -P8 ({statistics.median(limits):.0f}/s); rounds "
            + ", ".join(f"{rate:.0f}" for rate in rates),
        )
        for name, (_, seconds) in after.items():
            spent = (seconds - before.get(name, (0, 0))[1]) / (jobs * rounds)
            table.add_row(f"    CPU per job: {name}", f"{spent * 1e6:.0f} µs", "")
        lives, floors = [], []
        for _ in range(rounds):
            floors.append(await asyncio.to_thread(alone, 100))
            lives.append(sorted(await latencies(client, 200)))
        halves = [times[len(times) // 2] for times in lives]
        table.add_row(
            "(c) POST to visible outcome, idle, p50",
            f"{statistics.median(halves) * 1e3:.1f} ms",
            f"/bin/true by itself takes {statistics.median(floors) * 1e3:.1f} ms; rounds "
            + ", ".join(f"{half * 1e3:.1f}" for half in halves),
        )
        last = statistics.median(times[len(times) * 99 // 100] for times in lives)
        table.add_row("    p99", f"{last * 1e3:.1f} ms", "")
        for name, seconds in (await reads(client, 200)).items():
            table.add_row(f"    read {name}, median", f"{seconds * 1e3:.1f} ms", "")
        await check_outcomes(client)
        table.add_row("(d) start-up of everything", f"{started_in:.2f} s", "NATS, PostgreSQL, services, a worker")
        for name, (seconds, size) in (await start_ups(platform)).items():
            table.add_row(f"    one more {name}", f"{seconds:.2f} s", f"to a healthy answer; {size:.0f} MiB then")
        now = processes()
        for name, (size, _) in sorted(memory.items()):
            table.add_row(
                f"    memory: {name}", f"{size:.0f} MiB", f"{now.get(name, (0, 0))[0]:.0f} MiB after the load"
            )
    return table


async def run(*, jobs: int, rounds: int) -> int:
    try:
        async with running_platform() as started:
            table = await measure(started.platform, started.seconds, jobs=jobs, rounds=rounds)
    except NotStarted as error:
        return error.exit_code
    Console(width=140).print(table)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    raise SystemExit(uvloop.run(run(jobs=options.jobs, rounds=options.rounds)))
