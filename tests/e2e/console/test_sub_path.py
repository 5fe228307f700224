"""The console behind a proxy that serves the orchestrator below a path."""

from __future__ import annotations

from playwright.async_api import Browser, expect

from tests.e2e.framework.platform import Platform
from tests.fixtures.pages import open_page
from tests.fixtures.sub_path import proxy


async def test_the_console_works_below_any_path(browser: Browser, platform: Platform) -> None:
    async with (
        proxy("/tools/hodei", platform.urls["orchestrator"]) as outside,
        open_page(browser, outside) as page,
    ):
        await page.goto("/tools/hodei/")
        await expect(page).to_have_title("Now · Hodei")
        await expect(page.locator(".parts [data-status=healthy]")).to_have_count(3)
        assert page.url == f"{outside}/tools/hodei/console/"

        await page.get_by_role("link", name="Workers").first.click()
        await expect(page.get_by_role("row").nth(1)).to_be_visible()
        assert page.url == f"{outside}/tools/hodei/console/workers"
        await page.reload()
        await expect(page.get_by_role("row").nth(1)).to_be_visible()
        await page.get_by_role("row").nth(1).get_by_role("link").first.click()
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await page.reload()
        await expect(page.get_by_role("heading", level=1)).not_to_have_text("Workers")
