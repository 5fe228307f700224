"""`make screenshots` writes the pictures of the console in docs/console, of a platform that it starts and fills."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Final

from playwright.async_api import Page, ViewportSize, expect

from hodei.client import Client
from tests.e2e.console.example import example
from tests.e2e.framework.config import E2EConfig
from tests.e2e.framework.platform import SERVICES, running_platform
from tests.fixtures.pages import PICTURES, THEMES, open_page, running_browser, set_theme
from tests.fixtures.servers import backend

SIZE: Final[ViewportSize] = {"width": 1200, "height": 720}
DARK: Final = ("now", "log")
"""Pictures in the dark theme as well."""
WITHOUT: Final = ("run-pipeline",)
"""Without a picture: it looks like another."""


async def main() -> None:
    """Start, fill, take the pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, backend() as servers:
        async with (
            running_platform(E2EConfig(), Path(folder), servers, HODEI_AUTH="on") as platform,
            Client(*(platform.urls[name] for name in SERVICES), token=platform.token) as client,
            example(client, runs=12, small=40) as shown,
            running_browser() as browser,
            open_page(browser, platform.urls["orchestrator"], token=platform.token) as page,
        ):
            await page.set_viewport_size(SIZE)
            for name, (path, text) in shown.pages.items():
                if name not in WITHOUT:
                    await page.goto(path)
                    await expect(page.locator("main")).to_contain_text(text)
                    await page.wait_for_load_state("networkidle")
                    await picture(page, name)


async def picture(page: Page, name: str) -> None:
    """Write one, or one for each theme, without what moves."""
    for theme in THEMES if name in DARK else THEMES[:1]:
        await set_theme(page, theme)
        await page.evaluate("document.querySelector('.log-box')?.scrollIntoView({block: 'end'})")
        file = PICTURES / f"{name}{'' if theme == 'light' else f'-{theme}'}.png"
        await page.screenshot(path=file, animations="disabled", caret="hide")
        print(file.name)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
