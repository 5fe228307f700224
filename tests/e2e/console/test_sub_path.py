"""The console behind a proxy that serves the orchestrator below a path."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from playwright.async_api import Browser, expect

from tests.e2e.framework.platform import Platform
from tests.fixtures.pages import open_page

HOP_BY_HOP = {"connection", "transfer-encoding", "content-encoding", "content-length"}


@asynccontextmanager
async def proxy(path: str, url: str) -> AsyncIterator[str]:
    """Serves `url` below `path`, which it removes; the address of that."""
    async with aiohttp.ClientSession() as client:

        async def forward(request: web.Request) -> web.Response:
            target = url + request.rel_url.raw_path.removeprefix(path)
            async with client.request(
                request.method, f"{target}?{request.query_string}", headers=request.headers, data=await request.read(),
                allow_redirects=False,
            ) as answer:  # fmt: skip
                headers = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
                return web.Response(status=answer.status, body=await answer.read(), headers=headers)

        app = web.Application()
        app.router.add_route("*", f"{path}/{{rest:.*}}", forward)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        await runner.cleanup()


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
