"""Submits jobs from four times as many clients as may submit at once, and measures what they and all others meet.

First as many clients as the limit of submissions submit jobs of /bin/true, each one request after the other: the normal
load. Then four times as many do. The clients of a phase begin one after the other; requests count from when the last
one has begun. Clients that are turned away come back when `Retry-After` says. Meanwhile health, metrics, reads and
cancellations are measured. At the end every accepted job must have succeeded, accepted requests of the overload must
have taken less than twice as long as the normal ones (p99), and only submissions may have been turned away.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import aiohttp
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.running import NotStarted, running_platform
from hodei.client import Client

JOB = {"command": ["/bin/true"], "type": "exec"}
FACTOR = 4
RAMP = 10.0
"""Seconds in which the clients of a phase begin."""
PROBE_EVERY = 0.25
SETTLE = 600.0
"""Seconds within which accepted jobs must have ended."""


@dataclass
class Load:
    """What the clients of one phase met."""

    name: str
    clients: int
    seconds: float = 0.0
    accepted: list[str] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    """Seconds of each accepted request."""
    lag: list[float] = field(default_factory=list)
    """How many seconds this program itself was late, again and again: its part of the figures."""
    other: Counter[int] = field(default_factory=Counter)
    """Requests that were not accepted, by status."""

    def figure(self, share: float) -> float:
        """The milliseconds that this share of the accepted requests did not exceed; NaN if there are none."""
        return _quantile(self.took, share)

    def own_lag(self, share: float) -> float:
        """The same for the lateness of this program."""
        return _quantile(self.lag, share)


def _quantile(seconds: list[float], share: float) -> float:
    if not seconds:
        return math.nan
    return 1000 * sorted(seconds)[min(int(len(seconds) * share), len(seconds) - 1)]


async def _watch_lag(load: Load) -> None:
    while True:
        start = time.perf_counter()
        await asyncio.sleep(0.05)
        load.lag.append(time.perf_counter() - start - 0.05)


async def submit_for(load: Load, session: aiohttp.ClientSession, url: str, seconds: float) -> None:
    """Submit from all clients of a phase for so many seconds, after the ramp."""
    began = time.perf_counter() + RAMP
    end = began + seconds

    async def client(number: int) -> None:
        await asyncio.sleep(RAMP * number / load.clients)
        while time.perf_counter() < end:
            start = time.perf_counter()
            async with session.post(f"{url}/api/v1/jobs", json=JOB | {"name": load.name}) as answer:
                body = await answer.json()
                counts = start >= began
                if answer.status == 201:
                    load.accepted.append(body["id"])
                    if counts:
                        load.took.append(time.perf_counter() - start)
                    continue
                load.other[answer.status] += counts
            left = end - time.perf_counter()
            await asyncio.sleep(max(0.0, min(left, float(answer.headers.get("Retry-After", "1")))))

    watching = asyncio.create_task(_watch_lag(load))
    await asyncio.gather(*(client(number) for number in range(load.clients)))
    watching.cancel()
    load.seconds = time.perf_counter() - began


async def probe(session: aiohttp.ClientSession, url: str, delayed: list[str], probes: dict[str, Load]) -> None:
    """Ask for everything else, again and again, until cancelled."""

    async def ask(name: str, request: Callable[[], Awaitable[aiohttp.ClientResponse]]) -> None:
        load = probes.setdefault(name, Load(name, 1))
        start = time.perf_counter()
        answer = await request()
        await answer.read()
        if answer.status < 400:
            load.took.append(time.perf_counter() - start)
        else:
            load.other[answer.status] += 1

    while delayed:
        job = f"{url}/api/v1/jobs/{delayed.pop()}"
        await ask("GET /health", lambda: session.get(f"{url}/health"))
        await ask("GET /metrics", lambda: session.get(f"{url}/metrics"))
        await ask("GET /jobs/{id}", lambda job=job: session.get(job))  # type: ignore[misc]  # mypy: default of a lambda
        await ask("GET /jobs?limit=20", lambda: session.get(f"{url}/api/v1/jobs?limit=20"))
        await ask("POST /jobs/{id}/cancel", lambda job=job: session.post(f"{job}/cancel"))  # type: ignore[misc]
        await asyncio.sleep(PROBE_EVERY)


async def ended(client: Client, loads: list[Load]) -> dict[str, int]:
    """Wait until the accepted jobs have ended. Returns how many of them are in each status; `missing` if unknown."""
    deadline = time.monotonic() + SETTLE
    while time.monotonic() < deadline:
        left = [
            job.id
            for status in ("running", "pending")
            async for job in client.jobs(status=status, limit=1000)
            if job.run_at is None
        ]
        if not left:
            break
        await client.wait(left[0], timeout=SETTLE)
    found = {job.id: job.status.value for load in loads async for job in client.jobs(name=load.name, limit=10**9)}
    return Counter(found.get(id, "missing") for load in loads for id in load.accepted)


async def measure(url: str, *, limit: int, seconds: float) -> tuple[Table, list[str]]:
    """Run both phases. Returns the table, and what is wrong with it."""
    normal, over = Load("normal", limit), Load("overload", FACTOR * limit)
    probes: dict[str, Load] = {}
    connector = aiohttp.TCPConnector(limit=0)
    async with Client(url) as client, aiohttp.ClientSession(connector=connector) as session:
        await submit_for(Load("warm", 8), session, url, min(5.0, seconds))
        later = datetime.now(UTC) + timedelta(days=1)
        count = int((RAMP + seconds) / PROBE_EVERY) + 1
        delayed = [job.id for job in await client.submit_many([JOB | {"run_at": later.isoformat()}] * min(count, 1000))]
        await submit_for(normal, session, url, seconds)
        await ended(client, [normal])
        probing = asyncio.create_task(probe(session, url, delayed, probes))
        await submit_for(over, session, url, seconds)
        probing.cancel()
        await asyncio.wait({probing})
        if not probing.cancelled():
            probing.result()
        outcomes = await ended(client, [normal, over])
    table = Table(title=f"Overload: at most {limit} submissions in progress", title_justify="left", box=None)
    for column in ("what", "clients", "accepted/s", "turned away/s", "p50 ms", "p99 ms", "max ms"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for load in (normal, over):
        away = load.other[429] / load.seconds
        table.add_row(
            f"POST /jobs, {load.name}", str(load.clients), f"{len(load.took) / load.seconds:.0f}", f"{away:.0f}",
            *(f"{load.figure(share):.0f}" for share in (0.5, 0.99, 1)),
        )  # fmt: skip
        table.add_row(
            "    this program's own lag", "", "", "", *(f"{load.own_lag(share):.0f}" for share in (0.5, 0.99, 1))
        )
    for load in probes.values():
        table.add_row(
            f"    meanwhile {load.name}", "1", f"{len(load.took)} in all", str(load.other.total()),
            *(f"{load.figure(share):.0f}" for share in (0.5, 0.99, 1)),
        )  # fmt: skip
    ratio = over.figure(0.99) / normal.figure(0.99)
    table.add_row("p99 of the overload, times the normal one", "", "", "", "", f"{ratio:.2f}", "")
    table.add_row("accepted jobs, by outcome", "", ", ".join(f"{n} {status}" for status, n in outcomes.items()))
    wrong = [f"{n} accepted jobs are {status}" for status, n in outcomes.items() if status != "succeeded"]
    wrong += [f"{load.name} was answered with {dict(load.other)}" for load in probes.values() if load.other]
    wrong += [f"a submission was answered with {status}" for status in over.other if status != 429]
    if not over.other[429]:
        wrong.append("nothing was turned away: the load was too small")
    if not ratio < 2:
        wrong.append(f"p99 of accepted submissions was {ratio:.2f} times the normal one")
    return table, wrong


async def run(*, seconds: float, limit: int, jobs: int) -> int:
    os.environ["HODEI_LIMIT_REQUESTS"] = str(2 * limit)
    os.environ["HODEI_LIMIT_JOBS"] = str(jobs)
    os.environ.setdefault("HODEI_LOG_LEVEL", "warning")
    try:
        async with running_platform() as started:
            table, wrong = await measure(started.platform.urls["orchestrator"], limit=limit, seconds=seconds)
    except NotStarted as error:
        return error.exit_code
    console = Console(width=140)
    console.print(table)
    for one in wrong:
        console.print(f"WRONG: {one}")
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of each phase")
    parser.add_argument("--limit", type=int, default=250, help="submissions in progress: half of HODEI_LIMIT_REQUESTS")
    parser.add_argument("--jobs", type=int, default=100_000, help="HODEI_LIMIT_JOBS")
    options = parser.parse_args()
    raise SystemExit(uvloop.run(run(seconds=options.seconds, limit=options.limit, jobs=options.jobs)))
