"""The pages Now and Search."""

from __future__ import annotations

import re

from playwright.async_api import Page, expect

from hodei.client import Client
from tests.e2e.framework.data import command_job, unique
from tests.fixtures.pages import axe


async def test_why_a_job_waits_is_on_the_first_page(console: Page, client: Client) -> None:
    job = await client.submit(command_job("true", requires={"no-worker-has": unique("x")}))
    try:
        await console.goto("/console/")
        tile = console.get_by_role("link", name=re.compile("Waiting for a worker"))
        await expect(tile).to_contain_text(re.compile("lacks the label|can take it now|no free slot", re.IGNORECASE))
        await expect(console.get_by_role("heading", name="Workers")).to_be_visible()
        await expect(console.locator(".parts [data-status=healthy]")).to_have_count(3)
        await tile.click()
        await expect(console).to_have_title("Queue · Hodei")
    finally:
        await client.cancel(job.id)


async def test_now_counts_what_ended(console: Page, client: Client) -> None:
    await console.goto("/console/")
    succeeded = console.get_by_role("link", name=re.compile("Succeeded since")).locator(".value")
    await expect(succeeded).to_have_text(re.compile(r"\d"))
    before = int(re.sub(r"\D", "", await succeeded.inner_text()))
    job = await client.submit(command_job("true"))
    await client.wait(job.id, timeout=30)

    await expect(succeeded).not_to_have_text(str(before))
    await expect(console.get_by_role("img", name=re.compile(r"jobs? ended; at most"))).to_be_visible()


async def test_now_fits_a_telephone(narrow_console: Page) -> None:
    await narrow_console.goto("/console/")
    await expect(narrow_console.locator(".parts [data-status=healthy]")).to_have_count(3)

    assert await narrow_console.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_search_finds_by_name_and_opens_by_id(console: Page, client: Client) -> None:
    mark = unique("<b>found</b>")
    job = await client.submit(command_job("true", name=mark))
    await console.goto("/console/")
    await expect(console.get_by_role("heading", level=1)).to_have_text("Now")  # keys are heard from now on
    await console.keyboard.press("/")
    await console.keyboard.type(mark[:-1])
    await console.keyboard.press("Enter")
    await expect(console.get_by_role("link", name=mark)).to_be_visible()  # with its tags as text
    await console.reload()
    await expect(console.get_by_role("link", name=mark)).to_be_visible()
    assert await axe(console) == []

    for text in (job.id, job.id[-8:]):
        await console.get_by_role("searchbox", name="Search jobs").fill(text)
        await console.keyboard.press("Enter")
        await expect(console).to_have_url(re.compile(f"/console/jobs/{job.id}"))

    await console.goto("/console/search?q=nothing-is-called-so")
    await expect(console.get_by_text("Nothing has an id or a name that begins with")).to_be_visible()
