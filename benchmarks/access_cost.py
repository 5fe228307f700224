"""Compares a platform with access on with one with access off: `make bench-access-cost`.

Both run at the same time, and take the same work in turns, so that a noisy machine disturbs both alike. Two platforms
of the same kind differ by some percent for as long as they run, so several pairs are started, one after the other.
Compared are the rate, and the CPU time of all parts for one job, which depends less on other processes. Printed is the
median of the pairs' ratios (on : off) with its 95 % confidence interval.

It exits with 1 if jobs in batches cost more than the limit (`--limit`, 3 %): if the median of the ratios of CPU time is
above it, or if the rate is certainly lower by more than that, which is when its whole interval is.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from math import comb
from pathlib import Path
from typing import Final

import uvloop

from benchmarks.__main__ import check_outcomes, single_posts, throughput
from benchmarks.running import NotStarted, processes, running_platform
from hodei.client import Client

Work = tuple[int, Callable[[Client], Awaitable[float]]]
"""The number of jobs, and what submits them and returns how many a second there were."""
MODES: Final = ("off", "on")
CERTAIN: Final = 0.95
LIMIT: Final = 3.0
"""The most percent that jobs in batches may cost."""
BATCHES: Final = "jobs in batches"


@dataclass
class Measured:
    """What a kind of work gave, in pairs of platforms (on, off)."""

    rates: list[tuple[float, float]] = field(default_factory=list)
    cpu: list[tuple[float, float]] = field(default_factory=list)
    """Microseconds for a job, of all parts of the platform."""


async def client_of(mode: str, stack: AsyncExitStack) -> Client:
    """Start a platform with access on or off. Raises NotStarted."""
    started = await stack.enter_async_context(running_platform(HODEI_AUTH=mode))
    urls = started.platform.urls
    file = Path(started.platform.settings.data_dir) / "token"
    token = file.read_text(encoding="ascii").strip() if mode == "on" else None
    return await stack.enter_async_context(
        Client(urls["orchestrator"], urls["scheduler"], urls["worker_manager"], token=token)
    )


async def measure(pairs: int, rounds: int, posts: int, jobs: int) -> dict[str, Measured]:
    """Raises NotStarted."""
    works: dict[str, Work] = {
        f"{posts} single POSTs, 8 at a time": (posts, lambda client: single_posts(client, posts, 8)),
        f"{jobs} {BATCHES}": (jobs, lambda client: throughput(client, jobs)),
    }
    found = {name: Measured() for name in works}
    for number in range(pairs):
        for name, (rate, cpu) in (await measure_pair(MODES[:: 1 if number % 2 else -1], rounds, works)).items():
            found[name].rates.append((rate["on"], rate["off"]))
            found[name].cpu.append((cpu["on"], cpu["off"]))
    return found


async def measure_pair(
    order: Sequence[str], rounds: int, works: Mapping[str, Work]
) -> dict[str, tuple[dict[str, float], dict[str, float]]]:
    """The mean rate, and the microseconds of CPU for a job, by mode, of each work. Raises NotStarted."""
    rates = {name: dict.fromkeys(MODES, 0.0) for name in works}
    cpu = {name: dict.fromkeys(MODES, 0.0) for name in works}
    async with AsyncExitStack() as stack:
        clients = {mode: await client_of(mode, stack) for mode in order}
        for client in clients.values():  # warm
            await throughput(client, 300)
            await single_posts(client, 100, 8)
        for number in range(rounds):
            for name, (count, work) in works.items():
                for mode in MODES if number % 2 else reversed(MODES):
                    before = cpu_seconds()
                    rates[name][mode] += await work(clients[mode]) / rounds
                    cpu[name][mode] += (cpu_seconds() - before) / (rounds * count) * 1e6
        for client in clients.values():
            await check_outcomes(client)
    return {name: (rates[name], cpu[name]) for name in works}


def cpu_seconds() -> float:
    """Of all parts of both platforms: the idle one adds the same to each round."""
    return sum(seconds for _, seconds in processes().values())


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The confidence interval of the median, from the order of the values alone (sign test)."""
    ordered, number = sorted(values), len(values)
    outside, cut = 0.0, 0
    while 2 * (outside + comb(number, cut) / 2**number) <= 1 - CERTAIN:
        outside += comb(number, cut) / 2**number
        cut += 1
    cut = max(cut, 1)
    return ordered[cut - 1], ordered[number - cut]


def ratios_of(pairs: Sequence[tuple[float, float]]) -> list[float]:
    return [on / off for on, off in pairs]


def costs_more(measured: Measured, limit: float) -> bool:
    """Whether work costs more than `limit` percent with access on: in CPU time, or certainly in jobs a second."""
    share = limit / 100
    _, fastest = interval(ratios_of(measured.rates))
    return statistics.median(ratios_of(measured.cpu)) > 1 + share or fastest < 1 - share


def line(what: str, pairs: Sequence[tuple[float, float]], unit: str) -> str:
    ratios = ratios_of(pairs)
    low, high = interval(ratios)
    on, off = (statistics.median(values) for values in zip(*pairs, strict=True))
    return (
        f"  {what:14} on {on:8.0f} {unit}   off {off:8.0f} {unit}   ratio {statistics.median(ratios):.3f}"
        f"   (95 %: {low:.3f} to {high:.3f})"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.access_cost", description=__doc__)
    parser.add_argument("--pairs", type=int, default=8, help="pairs of platforms, at least 6 (default: 8)")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of each pair (default: 10)")
    parser.add_argument("--posts", type=int, default=300, help="single submissions in a round (default: 300)")
    parser.add_argument("--jobs", type=int, default=1000, help="jobs of a round's batches (default: 1000)")
    parser.add_argument(
        "--limit", type=float, default=LIMIT, help=f"percent that {BATCHES} may cost at most (default: {LIMIT:g})"
    )
    given = parser.parse_args(arguments)
    if given.pairs < 6:
        parser.error("--pairs: fewer than 6 do not give an interval")
    try:
        found = uvloop.run(measure(given.pairs, given.rounds, given.posts, given.jobs))
    except NotStarted as error:
        print(error, file=sys.stderr)
        return error.exit_code
    failed = False
    for name, measured in found.items():
        print(name)
        print(line("per second", measured.rates, "/s"))
        print(line("CPU for a job", measured.cpu, "µs"))
        if name.endswith(BATCHES) and costs_more(measured, given.limit):
            print(f"  MORE than the {given.limit:g} % that {BATCHES} may cost")
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
