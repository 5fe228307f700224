"""The tab Log with a log of 500 MB, on a platform of its own. `make bench-log-page` measures how soon it answers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from hodei.client import Client
from schemas.rest.jobs import JobCreate
from tests.e2e.framework.config import E2EConfig
from tests.e2e.framework.http import checked_client
from tests.e2e.framework.platform import running_platform
from tests.fixtures.pages import PATIENCE, open_page
from tests.fixtures.servers import Backend

LINES = 5_000_000
WRONG = 2_000_000
"""The line with the first error."""
COMMAND = f"""
seq -f %099.0f {WRONG - 1}
printf 'ERROR: %092d\\n' {WRONG}
seq -f %099.0f {WRONG + 1} {LINES}
exit 1
"""
"""Writes lines of 100 bytes: their numbers."""
SEARCHED = 90_000.0
"""Milliseconds within which all of it is searched, on a busy machine too."""
MOST_ROWS = 1200
"""Lines that are in the page at the same time, at the most."""
SHOWN_IN_THE_MIDDLE = """
([line, tolerance]) => {
  const box = document.querySelector(".log-box").getBoundingClientRect();
  const row = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2).closest("[data-line]");
  return row !== null && Math.abs(row.dataset.line - line) < tolerance;
}
"""


@pytest_asyncio.fixture(loop_scope="session")
async def client(
    config: E2EConfig, backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Client]:
    """A client of a platform whose jobs may write as much."""
    if config.external:
        pytest.skip("needs a platform that the tests started themselves")
    folder = tmp_path_factory.mktemp("large-logs")
    async with (
        running_platform(config, folder, backend, HODEI_LOG_LIMIT=str(1 << 30)) as platform,
        checked_client(platform.urls, platform.checks, timeout=config.timeout) as client,
    ):
        yield client


async def test_a_log_of_500_mb_is_opened_searched_and_scrolled_anywhere(browser: Browser, client: Client) -> None:
    job = await client.submit(JobCreate(command=COMMAND, timeout=600))
    assert (await client.wait(job.id, timeout=600)).status == "failed"

    async with open_page(browser, str(client.orchestrator.base_url)) as page:
        await page.goto(f"/console/jobs/{job.id}?tab=log")
        await seen(page, LINES)  # it failed, so it is opened at its end
        await expect(page.get_by_text("5\u202f000\u202f000 lines")).to_be_visible()

        box = page.locator(".log-box")
        await box.focus()
        await page.keyboard.press("Home")
        await seen(page, 1)
        await box.hover()
        await page.mouse.wheel(0, 2000)  # 100 lines of 20 pixels
        await seen(page, 101)

        await page.get_by_role("button", name="First error").click()
        await seen(page, WRONG, within=SEARCHED)
        await expect(page).to_have_url(re.compile(f"#L{WRONG}$"))

        search = page.get_by_role("searchbox", name="Search the log")
        await search.fill("4321098")
        await search.press("Enter")
        await expect(page.get_by_text(re.compile("^1 of 1$"))).to_be_visible(timeout=SEARCHED)
        await seen(page, 4_321_098)

        for share in (0.9, 0.1, 0.5):  # about, since the ends of the scroll bar stand for pixels, not for shares
            await box.evaluate("(box, share) => box.scrollTop = share * (box.scrollHeight - box.clientHeight)", share)
            await page.wait_for_function(SHOWN_IN_THE_MIDDLE, arg=[share * LINES, LINES / 20])
            assert await page.locator(".log-row").count() <= MOST_ROWS


async def seen(page: Page, line: int, *, within: float = PATIENCE) -> None:
    await expect(page.locator(f".log-row[data-line='{line}']")).to_be_in_viewport(timeout=within)
