"""`make bench-pages` waits for data, and for nothing that a page shows before it has them."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, Route, expect

from benchmarks.pages import PAGES
from hodei.client import Client
from tests.e2e.console.example import example

DATA = re.compile(r"/(api/v1/|health$)")


async def _never(_route: Route) -> None:
    """Leave the request without an answer."""


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_without_an_answer_shows_none_of_it(console: Page, path: str) -> None:
    await console.route(DATA, _never)
    await console.goto(f"/console/{path}", wait_until="commit")
    await expect(console.locator("main h1")).to_be_visible()

    for selector in PAGES[path]:
        await expect(console.locator(selector)).to_have_count(0)


async def test_a_page_with_data_shows_all_of_it(console: Page, client: Client) -> None:
    async with example(client):
        for path, filled in PAGES.items():
            await console.goto(f"/console/{path}")
            for selector in filled:
                await expect(console.locator(selector).first).to_be_visible()
