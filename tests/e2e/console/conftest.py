"""One browser for all page tests of a process, beside the platform that the other e2e tests use as well.

The tests here run on the loop of the session, to which the browser belongs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from hodei.client import Client
from tests.e2e.framework.config import E2EConfig
from tests.e2e.framework.http import checked_client
from tests.e2e.framework.platform import Platform
from tests.fixtures.pages import open_page, running_browser

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with running_browser() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def console(browser: Browser, platform: Platform) -> AsyncIterator[Page]:
    """A page of the console with access off: `await console.goto("/console/jobs")`."""
    async with open_page(browser, platform.urls["orchestrator"]) as page:
        yield page


@pytest_asyncio.fixture(loop_scope="session")
async def narrow_console(browser: Browser, platform: Platform) -> AsyncIterator[Page]:
    """The same, as wide as a telephone."""
    async with open_page(browser, platform.urls["orchestrator"], width=380) as page:
        yield page


@pytest_asyncio.fixture(loop_scope="session")
async def guarded_console(browser: Browser, guarded_platform: Platform) -> AsyncIterator[Page]:
    """A page of the console with access on, signed in as the administrator."""
    async with open_page(browser, guarded_platform.urls["orchestrator"], token=guarded_platform.token) as page:
        yield page


@pytest_asyncio.fixture(loop_scope="session")
async def stranger(browser: Browser, guarded_platform: Platform) -> AsyncIterator[Page]:
    """A page of the console with access on, not signed in."""
    async with open_page(browser, guarded_platform.urls["orchestrator"]) as page:
        yield page


@pytest_asyncio.fixture(loop_scope="session")
async def client(platform: Platform, config: E2EConfig) -> AsyncIterator[Client]:
    """A client of the platform with access off."""
    async with checked_client(platform.urls, platform.checks, timeout=config.timeout) as client:
        yield client
