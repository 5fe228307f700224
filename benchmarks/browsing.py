"""A headless Chromium of the distribution, for the benchmarks of the console."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright
from rich.console import Console


def find_chromium() -> str | None:
    """The path of its program; None, after a line that says so, if it is not on this machine."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        Console(stderr=True).print("no chromium on this machine")
    return found


@asynccontextmanager
async def running_browser(chromium: str) -> AsyncIterator[Browser]:
    """The browser, which ends after the block."""
    async with async_playwright() as playwright:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        await browser.close()
