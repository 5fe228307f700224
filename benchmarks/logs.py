"""Measures parts of a large log: `python -m benchmarks.logs`.

A job writes 500 MB. Then its first lines, lines in the middle and the last ones are requested from the orchestrator,
and the whole log is searched. Fails if the first page or the last lines take more than 300 ms (median).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any, Final

import orjson
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.running import NotStarted, processes, running_platform
from hodei.client import Client
from schemas.rest.jobs import JobCreate

LINE: Final = 100
"""Bytes of each line."""
LONGEST: Final = 0.3
"""Seconds that the first page and the last lines may take."""
PAGES: Final = {
    "first page, 1,000 lines": "limit=1000",
    "last 1,000 lines": "tail=1000",
    "last 5,000 lines": "tail=5000",
    "1,000 lines in the middle": "from_line={middle}&limit=1000",
    "5,000 lines in the middle": "from_line={middle}&limit=5000",
    "one search, of about 64 MiB": "q=not-there",
}
LIMITED: Final = ("first page, 1,000 lines", "last 1,000 lines")


async def write(client: Client, megabytes: int) -> str:
    """Run a job that writes so much, and return its id."""
    count = megabytes * 1_000_000 // LINE
    job = await client.submit(JobCreate(command=["seq", "-f", f"%0{LINE - 1}.0f", str(count)], type="exec"))
    await client.wait(job.id, timeout=600)
    return job.id


async def measure(client: Client, megabytes: int, rounds: int) -> tuple[Table, bool]:
    """The table of all figures, and whether all are within the limits."""
    start = time.perf_counter()
    job_id = await write(client, megabytes)
    path = f"/api/v1/jobs/{job_id}/logs"
    written = time.perf_counter() - start
    whole = await _get(client, f"{path}?limit=1")
    table = Table(title=f"A log of {megabytes} MB, {whole['lines']:,} lines", title_justify="left", box=None)
    for column in ("what", "median", "slowest", "note"):
        table.add_column(column, justify="right" if column in ("median", "slowest") else "left")
    table.add_row("written and stored", f"{written:.1f} s", "", "")
    before, good = processes()["orchestrator"][0], True
    for what, query in PAGES.items():
        seconds = []
        for _ in range(rounds):
            start = time.perf_counter()
            part = await _get(client, f"{path}?{query.format(middle=whole['lines'] // 2)}")
            seconds.append(time.perf_counter() - start)
        median = statistics.median(seconds)
        good = good and (what not in LIMITED or median <= LONGEST)
        table.add_row(what, f"{median * 1e3:.0f} ms", f"{max(seconds) * 1e3:.0f} ms", f"{len(part['logs']):,} lines")
    searched, calls = await _search(client, path)
    after = processes()["orchestrator"][0]
    table.add_row("search of the whole log", f"{searched:.1f} s", "", f"{calls} calls")
    table.add_row("memory of the orchestrator", f"{after:.0f} MiB", "", f"{before:.0f} MiB before")
    return table, good


async def _search(client: Client, path: str) -> tuple[float, int]:
    """The seconds, and the number of calls, to find that a text is nowhere in the log."""
    start, calls, following = time.perf_counter(), 0, 1
    while following:
        part = await _get(client, f"{path}?q=not-there&from_line={following}")
        calls, following = calls + 1, part["next_line"] or 0
    return time.perf_counter() - start, calls


async def _get(client: Client, path: str) -> Any:
    return orjson.loads((await client.orchestrator.request("GET", path)).body)


async def run(*, megabytes: int, rounds: int) -> int:
    try:
        async with running_platform(HODEI_LOG_LIMIT=str(1 << 30)) as started:
            urls = started.platform.urls
            async with Client(urls["orchestrator"], urls["scheduler"], urls["worker_manager"]) as client:
                table, good = await measure(client, megabytes, rounds)
    except NotStarted as error:
        return error.exit_code
    Console(width=120).print(table)
    return 0 if good else 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench-logs", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500, help="size of the log")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args(arguments)
    return uvloop.run(run(megabytes=options.megabytes, rounds=options.rounds))


if __name__ == "__main__":
    raise SystemExit(main())
