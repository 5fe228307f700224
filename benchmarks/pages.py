"""Measures how soon the console's pages are filled: `python -m benchmarks.pages`.

A platform gets 500 jobs. Then its pages are opened in a headless Chromium: by someone who was never there, so that
everything has to be loaded, and again. Fails if it takes more than 300 ms (median) until the page Jobs, opened again,
shows its rows.
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

LONGEST: Final = 0.3
"""Seconds within which the page Jobs has to be filled."""
JOBS: Final = 500
ROW: Final = "main tbody tr"
PAGES: Final = {"jobs": ROW, "": "main section", "workers": ROW, "queue": "main h1", "pipelines": "main h1"}
"""What is there once a page is filled, by its path."""


async def measure(browser: Browser, url: str, rounds: int) -> tuple[Table, bool]:
    """The table of all figures, and whether the page Jobs is filled soon enough."""
    table = Table(title=f"The console's pages, with {JOBS} jobs", title_justify="left", box=None)
    for column in ("page", "first time", "slowest", "again", "slowest"):
        table.add_column(column, justify="left" if column == "page" else "right")
    good = True
    for path, filled in PAGES.items():
        first: list[float] = []
        again: list[float] = []
        for _ in range(rounds):
            context = await browser.new_context(base_url=url)  # with an empty cache
            page = await context.new_page()
            await page.goto("/health")  # so that Chromium has a process for this address
            first.append(await opened(page, path, filled))
            again.append(await opened(page, path, filled))
            await context.close()
        table.add_row(path.capitalize() or "Now", *shown(first), *shown(again))
        good = good and (path != "jobs" or statistics.median(again) <= LONGEST)
    return table, good


async def opened(page: Page, path: str, filled: str) -> float:
    start = time.perf_counter()
    await page.goto(f"/console/{path}", wait_until="commit")
    await page.locator(filled).first.wait_for()
    return time.perf_counter() - start


async def run(*, rounds: int) -> int:
    chromium = find_chromium()
    if chromium is None:
        return 2
    try:
        async with running_platform() as started, running_browser(chromium) as browser:
            urls = started.platform.urls
            async with Client(urls["orchestrator"], urls["scheduler"], urls["worker_manager"]) as client:
                await throughput(client, JOBS)
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
