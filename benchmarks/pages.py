"""Measures how soon the console's pages are filled: `python -m benchmarks.pages`.

A platform gets 500 jobs that ended, 200 that wait, and 50 pipelines and schedules. Then its pages are opened in a
headless Chromium, each in a browser of its own:

- the *first visit*, with an empty cache: the page, its modules and its style sheet are loaded, and then its data;
- the *second visit*, in the same browser: only the page and its data are loaded, the rest is cached.

A visit lasts from the navigation until the page shows its data: the first row of its table, and on Now each number, the
bars and all cards. It fails if the second visit of the page Jobs takes more than 300 ms (median).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Final

import uvloop
from playwright.async_api import Browser, Page
from rich.console import Console
from rich.table import Table

from benchmarks.__main__ import throughput
from benchmarks.browsing import find_chromium, running_browser
from benchmarks.log_page import shown
from benchmarks.running import NotStarted, running_platform
from hodei.client import Client
from schemas.rest.jobs import JobCreate

LONGEST: Final = 0.3
"""Seconds within which the page Jobs has to be filled at the second visit."""
JOBS: Final = 500
WAITING: Final = 200
FEW: Final = 50
"""Pipelines, and schedules."""
ROW: Final = ("main tbody tr[data-key]",)
NUMBERS: Final = tuple(f"main .tile:nth-child({number}) .value:text-matches('[0-9]')" for number in range(1, 5))
CARDS: Final = (
    "main .throughput",
    "main .slot-list li",
    "main [aria-labelledby=now-failed] .lines li",
    *(f"main .parts li:nth-child({number}) [data-status]" for number in range(1, 4)),
)
PAGES: Final = {
    "": NUMBERS + CARDS,
    "jobs": ROW,
    "pipelines": ROW,
    "schedules": ROW,
    "queue": ROW,
    "workers": ROW,
}
"""What a page shows only once its data are there, by its path. All of it is waited for."""


async def fill(client: Client) -> None:
    """Make the data. The first job fails."""
    await client.submit(JobCreate(command=["/bin/false"], type="exec"))
    await throughput(client, JOBS)
    waits = JobCreate(command=["/bin/true"], type="exec", requires={"gpu": "yes"})
    await client.submit_many([waits] * WAITING)
    step = {"name": "main", "command": "true"}
    for number in range(FEW):
        await client.create_pipeline({"name": f"pipeline-{number}", "steps": [step]})
        await client.schedule({"name": f"schedule-{number}", "command": "true", "cron": "0 3 1 1 *"})


async def measure(browser: Browser, url: str, rounds: int) -> tuple[Table, bool]:
    """The table of all figures, and whether the page Jobs is filled soon enough."""
    table = Table(title=f"Until a page shows its data, with {JOBS} jobs", title_justify="left", box=None)
    for column in ("page", "first visit", "slowest", "second visit", "slowest"):
        table.add_column(column, justify="left" if column == "page" else "right")
    good = True
    for path, filled in PAGES.items():
        first: list[float] = []
        second: list[float] = []
        for _ in range(rounds):
            context = await browser.new_context(base_url=url)  # with an empty cache
            page = await context.new_page()
            await page.goto("/health")  # so that Chromium has a process for this address
            first.append(await opened(page, path, filled))
            second.append(await opened(page, path, filled))
            await context.close()
        table.add_row(path.capitalize() or "Now", *shown(first), *shown(second))
        good = good and (path != "jobs" or statistics.median(second) <= LONGEST)
    return table, good


async def opened(page: Page, path: str, filled: Sequence[str]) -> float:
    """Seconds until all of it can be seen."""
    start = time.perf_counter()
    await page.goto(f"/console/{path}", wait_until="commit")
    for selector in filled:
        await page.locator(selector).first.wait_for()
    return time.perf_counter() - start


async def run(*, rounds: int) -> int:
    chromium = find_chromium()
    if chromium is None:
        return 2
    try:
        async with running_platform() as started, running_browser(chromium) as browser:
            urls = started.platform.urls
            async with Client(urls["orchestrator"], urls["scheduler"], urls["worker_manager"]) as client:
                await fill(client)
            table, good = await measure(browser, urls["orchestrator"], rounds)
    except NotStarted as error:
        return error.exit_code
    Console(width=120).print(table)
    return 0 if good else 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench-pages", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    return uvloop.run(run(rounds=parser.parse_args(arguments).rounds))


if __name__ == "__main__":
    raise SystemExit(main())
