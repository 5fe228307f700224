"""Compares submissions with access on with submissions with access off: `make bench-access-cost`.

One platform takes both in turns: the access of its orchestrator is switched (`benchmarks.switched`). Two platforms
beside each other differ by some percent for as long as they run, whatever their access is. Compared are the rate, and
the CPU time of all parts for one job, which depends less on other processes. Printed is the median of the rounds'
ratios (on : off) with its 95 % confidence interval. A turn has 500 submissions, like one of single
submissions in `make bench`. With 60, a turn ends before the platform is busy.

It exits with 1 if a kind of submission costs more than the limit (`--limit`, 3 %): if the median of the ratios of CPU
time is above it, or if the rate is certainly lower by more than that, which is when its whole interval is.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import comb
from typing import Final

import uvloop

from benchmarks.__main__ import check_outcomes, single_posts, throughput
from benchmarks.running import NotStarted, admin_client, pids, processor_seconds, running_platform
from hodei.client import Client
from hodei.embedded.service import ProcessSpec
from hodei.interpreter import python
from hodei.up_services import services
from hodei.up_settings import UpSettings

Work = tuple[int, Callable[[Client], Awaitable[float]]]
"""The number of jobs, and what submits them and returns how many a second there were."""
SWITCHED: Final = "benchmarks.switched"
ON: Final = signal.SIGUSR1
OFF: Final = signal.SIGUSR2
SETTLED: Final = 0.02
"""Seconds after which a signal was handled."""
CERTAIN: Final = 0.95
LIMIT: Final = 3.0
"""The most percent that submissions may cost."""


@dataclass
class Measured:
    """What a kind of submission gave in each round: (on, off)."""

    rates: list[tuple[float, float]] = field(default_factory=list)
    cpu: list[tuple[float, float]] = field(default_factory=list)
    """Microseconds for a job, of all parts of the platform."""


def switched(
    settings: UpSettings, ports: Mapping[str, int], environment: Mapping[str, str], fds: Sequence[int]
) -> list[ProcessSpec]:
    """The services of a platform whose orchestrator can be switched."""
    return [
        replace(spec, command=(*python(), "-m", SWITCHED)) if spec.name == "orchestrator" else spec
        for spec in services(settings, ports, environment, fds)
    ]


async def measure(rounds: int, posts: int, jobs: int) -> dict[str, Measured]:
    """Raises NotStarted."""
    works: dict[str, Work] = {
        f"{posts} single POSTs, 8 at a time": (posts, lambda client: single_posts(client, posts, 8)),
        f"{jobs} jobs in a batch": (jobs, lambda client: throughput(client, jobs)),
    }
    found = {name: Measured() for name in works}
    async with running_platform(switched, HODEI_AUTH="on") as started, admin_client(started) as client:
        await throughput(client, 300)  # warm
        await single_posts(client, 300, 8)
        for number in range(rounds):
            for name, work in works.items():
                turns = [ON, OFF] if number % 2 else [OFF, ON]
                taken = {mode: await take(client, mode, work) for mode in turns}
                (rate_on, cpu_on), (rate_off, cpu_off) = taken[ON], taken[OFF]
                found[name].rates.append((rate_on, rate_off))
                found[name].cpu.append((cpu_on, cpu_off))
        await check_outcomes(client)
    return found


async def take(client: Client, mode: signal.Signals, work: Work) -> tuple[float, float]:
    """Do the work in a mode. Returns the rate, and the microseconds of CPU for a job."""
    for pid in pids(SWITCHED):
        os.kill(pid, mode)
    await asyncio.sleep(SETTLED)
    count, submit = work
    before = processor_seconds()
    rate = await submit(client)
    return rate, (processor_seconds() - before) / count * 1e6


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The confidence interval of the median, from the order of the values alone (sign test)."""
    ordered, number = sorted(values), len(values)
    outside, cut = 0.0, 0
    while 2 * (outside + comb(number, cut) / 2**number) <= 1 - CERTAIN:
        outside += comb(number, cut) / 2**number
        cut += 1
    cut = max(cut, 1)
    return ordered[cut - 1], ordered[number - cut]


def ratios_of(rounds: Sequence[tuple[float, float]]) -> list[float]:
    return [on / off for on, off in rounds]


def costs_more(measured: Measured, limit: float) -> bool:
    """Whether a kind of submission costs more than `limit` percent: in CPU time, or certainly in jobs a second."""
    share = limit / 100
    _, fastest = interval(ratios_of(measured.rates))
    return statistics.median(ratios_of(measured.cpu)) > 1 + share or fastest < 1 - share


def line(what: str, rounds: Sequence[tuple[float, float]], unit: str) -> str:
    ratios = ratios_of(rounds)
    low, high = interval(ratios)
    on, off = (statistics.median(values) for values in zip(*rounds, strict=True))
    return (
        f"  {what:14} on {on:8.0f} {unit}   off {off:8.0f} {unit}   ratio {statistics.median(ratios):.3f}"
        f"   (95 %: {low:.3f} to {high:.3f})"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.access_cost", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="rounds, at least 6 (default: 100)")
    parser.add_argument("--posts", type=int, default=500, help="single submissions of a turn (default: 500)")
    parser.add_argument("--jobs", type=int, default=500, help="jobs of a turn's batch (default: 500)")
    parser.add_argument(
        "--limit", type=float, default=LIMIT, help=f"percent that submissions may cost at most (default: {LIMIT:g})"
    )
    given = parser.parse_args(arguments)
    if given.rounds < 6:
        parser.error("--rounds: fewer than 6 do not give an interval")
    try:
        found = uvloop.run(measure(given.rounds, given.posts, given.jobs))
    except NotStarted as error:
        print(error, file=sys.stderr)
        return error.exit_code
    failed = False
    for name, measured in found.items():
        print(name)
        print(line("per second", measured.rates, "/s"))
        print(line("CPU for a job", measured.cpu, "µs"))
        if costs_more(measured, given.limit):
            print(f"  MORE than the {given.limit:g} % that submissions may cost")
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
