"""Starts a platform, inflicts faults on it, and prints how long it took to recover, as one table.

Each fault is repeated: jobs are submitted, one part is killed, asked to stop, frozen or cut off, and a fresh job is
submitted. "fresh" is the time from the end of the fault until the fresh job has ended. "in hand" is the time until all
jobs that were submitted before have ended, less their own run time. Every job records its runs in a file. Exits 1 when
a figure is beyond its limit, when a job is lost or never ends, or when a command ran again after a fault of another
part than its worker.

    make bench-recovery                                  all of it, about three hours
    python -m benchmarks.recovery --faults kill          `kill -9` of each part, 20 times in each moment
    python -m benchmarks.recovery --faults kill:scheduler --moments handling --repeats 5 --seed 7 --keep /tmp/here
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.recovery.faults import Fault, Moment, named
from benchmarks.recovery.platform import Running, running
from benchmarks.recovery.trial import DEADLINE, Result, trial


@dataclass(frozen=True)
class Options:
    faults: Sequence[Fault]
    repeats: int | None
    seed: int
    margin: float
    keep: Path | None


def read_options(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line. Exits 2 for invalid options."""
    parser = argparse.ArgumentParser(
        prog="make bench-recovery", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", default="kill,term,stop,cut", help="kill, kill:nats, :worker, cut:nats:20, ...")
    parser.add_argument("--moments", default="rest,load,handling", help="which of these")
    parser.add_argument("--repeats", type=int, help="of each; by default 20 of kill, 5 of the others")
    parser.add_argument("--seed", type=int, default=1, help="decides the order and the moments")
    parser.add_argument("--margin", type=float, default=1.0, help="times the limits, for a slow machine")
    parser.add_argument("--keep", type=Path, help="a new folder for data and logs, which is left behind")
    given = parser.parse_args(arguments)
    moments: list[Moment] = given.moments.split(",")
    try:
        faults = [fault for fault in named(given.faults) if fault.moment in moments]
    except ValueError as error:
        parser.error(str(error))
    if not faults:
        parser.error(f"no fault of {given.faults} comes in any of {given.moments}")
    return Options(faults, given.repeats, given.seed, given.margin, given.keep)


def schedule(faults: Sequence[Fault], repeats: int | None, chance: random.Random) -> list[Fault]:
    """Every fault as often as it repeats, in mixed order, so that one part is not hit many times in a row."""
    rounds = max(repeats or fault.repeats for fault in faults)
    order: list[Fault] = []
    for number in range(rounds):
        due = [fault for fault in faults if number < (repeats or fault.repeats)]
        order += chance.sample(due, len(due))
    return order


async def measure(platform: Running, order: Sequence[Fault], chance: random.Random) -> list[Result]:
    results = []
    for number, fault in enumerate(order):
        try:
            result = await trial(platform, fault, number, chance)
        except* TimeoutError:
            result = Result(fault, DEADLINE, DEADLINE, jobs=0, twice=0, lost=0, never=1)
        say = f"{number + 1}/{len(order)} {fault}: fresh {result.fresh:.2f} s, in hand {result.in_hand:.2f} s"
        print(f"{time.strftime('%H:%M:%S')} {say}" + "".join(f"; {one}" for one in result.faulty(1.0)), file=sys.stderr)
        results.append(result)
    return results


def table_of(results: Sequence[Result], margin: float) -> Table:
    table = Table(title=f"Recovery on {os.cpu_count()} cores, seconds: median and max", title_justify="left", box=None)
    for column in ("fault", "times", "fresh", "", "in hand", "", "jobs", "ran twice", "lost", "never ended", "limits"):
        table.add_column(column, justify="left" if column in ("fault", "limits") else "right")
    of: dict[Fault, list[Result]] = defaultdict(list)
    for result in results:
        of[result.fault].append(result)
    for fault, found in sorted(of.items()):
        fresh, in_hand = [one.fresh for one in found], [one.in_hand for one in found]
        table.add_row(
            str(fault),
            str(len(found)),
            *(f"{statistics.median(fresh):.2f}", f"{max(fresh):.2f}"),
            *(f"{statistics.median(in_hand):.2f}", f"{max(in_hand):.2f}"),
            *(str(sum(getattr(one, count) for one in found)) for count in ("jobs", "twice", "lost", "never")),
            f"fresh 5, in hand {fault.in_hand_limit:g}"
            + (": NOT KEPT" if any(one.faulty(margin) for one in found) else ""),
        )
    return table


async def run(options: Options) -> int:
    chance = random.Random(options.seed)
    order = schedule(options.faults, options.repeats, chance)
    results: list[Result] = []
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hodei-recovery-")))
        for cuttable in (False, True):
            due = [fault for fault in order if (fault.kind == "cut") is cuttable]
            if due:
                async with running(folder / ("cut" if cuttable else "embedded"), cuttable=cuttable) as platform:
                    results += await measure(platform, due, chance)
    Console(width=160).print(table_of(results, options.margin))
    return int(any(result.faulty(options.margin) for result in results))


if __name__ == "__main__":
    raise SystemExit(asyncio.run(run(read_options())))
