"""Measures how the console shows a large log: `python -m benchmarks.log_page`.

A job writes 500 MB. Then its log is opened in a headless Chromium, at both ends and in the middle, and scrolled by hand
and by its scroll bar. Fails if opening it takes more than a second (median), from a click in an address bar to lines on
the screen.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from typing import Final

import orjson
import uvloop
from playwright.async_api import Page
from rich.console import Console
from rich.table import Table

from benchmarks.browsing import find_chromium, running_browser
from benchmarks.logs import write
from benchmarks.running import NotStarted, running_platform
from hodei.client import Client

LONGEST: Final = 1.0
"""Seconds within which the log has to be open."""
SECONDS: Final = 3
DRAG: Final = "(box) => box.scrollTop = Math.random() * (box.scrollHeight - box.clientHeight)"
"""Moves the scroll bar anywhere."""
FRAMES: Final = """
(seconds) => new Promise((done) => {
  const [box, gaps, begin] = [document.querySelector(".log-box"), [], performance.now()];
  let last = begin;
  const next = (now) => {
    gaps.push(performance.now() - last);
    last = performance.now();
    %s(box);
    if (last - begin < seconds * 1000) requestAnimationFrame(next);
    else done([gaps.length / seconds, Math.max(...gaps)]);
  };
  requestAnimationFrame(next);
})
"""


async def measure(page: Page, job_id: str, lines: int, rounds: int) -> tuple[Table, bool]:
    """The table of all figures, and whether the log opens soon enough."""
    table = Table(title=f"A log of {lines:,} lines in the console", title_justify="left", box=None)
    for column in ("what", "median", "slowest"):
        table.add_column(column, justify="left" if column == "what" else "right")
    seconds = [await opened(page, job_id) for _ in range(rounds)]
    table.add_row("open it", *shown(seconds))
    good = statistics.median(seconds) <= LONGEST

    box = page.locator(".log-box")
    ends: list[float] = []
    middles: list[float] = []
    for number in range(rounds):
        await box.focus()
        await page.keyboard.press("End")
        ends.append(await seen(page, lines))
        line = lines // 2 + number * 1000
        await page.get_by_label("Go to line").fill(str(line))
        await page.keyboard.press("Enter")
        middles.append(await seen(page, line))
    table.add_row("go to the end", *shown(ends))
    table.add_row("go to a line in the middle", *shown(middles))
    await box.hover()
    turning = asyncio.create_task(turn_the_wheel(page))
    table.add_row("turning the wheel", *await frames(page, "() => null"))
    await turning
    table.add_row("dragging the scroll bar anywhere", *await frames(page, DRAG))
    return table, good


async def frames(page: Page, move: str) -> tuple[str, str]:
    """Frames per second, and the longest time between two of them, while `move` is called in each."""
    rate, worst = await page.evaluate(FRAMES % f"({move})", SECONDS)
    return f"{rate:.0f} frames/s", f"{worst:.0f} ms"


async def turn_the_wheel(page: Page) -> None:
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        await page.mouse.wheel(0, 120)


async def opened(page: Page, job_id: str) -> float:
    start = time.perf_counter()
    await page.goto(f"/console/jobs/{job_id}?tab=log")
    await page.locator(".log-row").first.wait_for()
    return time.perf_counter() - start


async def seen(page: Page, line: int) -> float:
    start = time.perf_counter()
    await page.locator(f".log-row[data-line='{line}']").wait_for()
    return time.perf_counter() - start


def shown(seconds: Sequence[float]) -> tuple[str, str]:
    return f"{statistics.median(seconds) * 1e3:.0f} ms", f"{max(seconds) * 1e3:.0f} ms"


async def run(*, megabytes: int, rounds: int) -> int:
    chromium = find_chromium()
    if chromium is None:
        return 2
    try:
        async with running_platform(HODEI_LOG_LIMIT=str(1 << 30)) as started, running_browser(chromium) as browser:
            urls = started.platform.urls
            async with Client(urls["orchestrator"], urls["scheduler"], urls["worker_manager"]) as client:
                job_id = await write(client, megabytes)
                lines = (await client.orchestrator.request("GET", f"/api/v1/jobs/{job_id}/logs?limit=1")).body
            page = await browser.new_page(base_url=urls["orchestrator"])
            table, good = await measure(page, job_id, orjson.loads(lines)["lines"], rounds)
    except NotStarted as error:
        return error.exit_code
    Console(width=120).print(table)
    return 0 if good else 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench-log-page", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500, help="size of the log")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    return uvloop.run(run(megabytes=options.megabytes, rounds=options.rounds))


if __name__ == "__main__":
    raise SystemExit(main())
