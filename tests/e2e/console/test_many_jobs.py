"""Actions on many jobs: on which they act, and what one hears of them while they go on."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from hodei.client import Client
from tests.e2e.framework.data import unique
from tests.e2e.framework.waiting import eventually
from tests.fixtures.gate import Gate

LATER = "2100-01-01T00:00:00Z"
CANCEL = "**/api/v1/jobs/cancel"

Marked = Callable[[int], Awaitable[str]]


@pytest_asyncio.fixture(loop_scope="session")
async def marked(console: Page) -> AsyncIterator[Marked]:
    """Makes so many jobs that wait, opens their list, and returns the value of their label `mark`."""
    marks: list[str] = []

    async def make(number: int) -> str:
        mark = unique("mark")
        marks.append(mark)
        job = {"command": "true", "labels": {"mark": mark}, "run_at": LATER}
        made = await console.request.post("/api/v1/jobs/batch", data=[job] * number)
        assert made.ok, await made.text()
        await console.goto(f"/console/jobs?label=mark%3D{mark}")
        await expect(_rows(console)).to_have_count(min(number, 50))
        return mark

    yield make
    for mark in marks:
        request = {"filter": {"label": [f"mark={mark}"]}, "limit": 1000}
        cancelled = await console.request.post("/api/v1/jobs/cancel", data=request)
        assert cancelled.ok, await cancelled.text()


def _rows(page: Page) -> Locator:
    return page.locator("tbody tr")


def _bar(page: Page) -> Locator:
    return page.get_by_role("region", name="Actions on jobs")


def _messages(page: Page) -> Locator:
    return page.get_by_role("region", name="Messages")


async def _choose_all(page: Page) -> None:
    await _rows(page).first.get_by_label("Choose this row").check()
    await page.get_by_role("button", name="Choose all that match").click()
    await expect(page.get_by_label("Choose all rows shown")).to_be_checked()
    await expect(_bar(page)).to_contain_text("All that match")


async def _cancel(page: Page, number: int) -> None:
    await page.get_by_role("button", name="Cancel", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name=f"Cancel {number} jobs").click()


async def _cancelled(client: Client, mark: str, number: int) -> set[str]:
    """The ids of the jobs that were cancelled, once they are `number` or more."""

    async def ask() -> set[str] | None:
        found = {job.id async for job in client.jobs(label=[f"mark={mark}"], status="cancelled")}
        return found if len(found) >= number else None

    return await eventually(ask)


async def test_a_row_that_is_unchecked_is_left_as_it_is(console: Page, client: Client, marked: Marked) -> None:
    mark = await marked(3)
    await _choose_all(console)
    kept = await _rows(console).nth(1).get_attribute("data-key")

    await _rows(console).nth(1).get_by_label("Choose this row").uncheck()
    await expect(_bar(console)).to_contain_text("2 chosen")
    await _cancel(console, 2)

    await expect(_messages(console)).to_contain_text("2 jobs cancelled")
    cancelled = await _cancelled(client, mark, 2)
    assert len(cancelled) == 2
    assert kept not in cancelled


async def test_one_row_that_is_checked_after_all_were_unchecked_is_one(console: Page, marked: Marked) -> None:
    await marked(3)
    await _choose_all(console)
    await console.get_by_label("Choose all rows shown").uncheck()
    await expect(_bar(console)).to_have_count(0)

    await console.keyboard.press("Escape")
    await console.keyboard.press("j")
    await console.keyboard.press("x")

    await expect(_bar(console)).to_contain_text("1 chosen")


async def test_a_choice_that_changes_before_the_question_comes_is_not_acted_on(console: Page, marked: Marked) -> None:
    await marked(3)
    gate = Gate()
    await console.route(CANCEL, gate)
    await _choose_all(console)
    await console.get_by_role("button", name="Cancel", exact=True).click()
    await gate.until_held()

    await _rows(console).nth(1).get_by_label("Choose this row").uncheck()
    gate.opened.set()

    await expect(console.get_by_text("The choice was changed meanwhile: nothing was done.")).to_be_visible()
    await expect(console.get_by_role("dialog")).to_have_count(0)


async def test_an_action_goes_on_and_is_told_of_on_other_lists_and_pages(
    console: Page, client: Client, marked: Marked
) -> None:
    mark = await marked(250)
    gate = Gate(free=2)  # the count, and the first batch
    await console.route(CANCEL, gate)
    await _choose_all(console)
    await _cancel(console, 250)
    await gate.until_held()

    await console.get_by_role("button", name="pending").click()
    await expect(console).to_have_url(re.compile("status=pending"))
    await expect(_messages(console)).to_contain_text("Cancel: 100 of 250 jobs…")
    await _rows(console).first.get_by_label("Choose this row").check()
    await expect(_bar(console).get_by_role("button", name="Cancel")).to_be_disabled()  # one action at a time
    await console.get_by_role("link", name="Queue", exact=True).click()
    await expect(console.get_by_role("heading", level=1)).to_have_text("Queue")
    await expect(_messages(console)).to_contain_text("Cancel: 100 of 250 jobs…")
    gate.opened.set()

    await expect(_messages(console)).to_contain_text("250 jobs cancelled")
    assert len(await _cancelled(client, mark, 250)) == 250
    await _messages(console).get_by_role("button", name="Close").click()
    await expect(_messages(console)).to_have_text("")


async def test_an_action_that_is_stopped_says_what_is_left(console: Page, client: Client, marked: Marked) -> None:
    mark = await marked(150)
    gate = Gate(free=1)
    await console.route(CANCEL, gate)
    await _choose_all(console)
    await _cancel(console, 150)
    await gate.until_held()

    async with console.expect_event("dialog") as asked:  # a tab that is closed, or loaded anew, ends the action
        await console.evaluate("setTimeout(() => location.reload())")
    question = await asked.value
    assert question.type == "beforeunload"
    await question.dismiss()
    await _messages(console).get_by_role("button", name="Stop").click()
    await expect(_messages(console).get_by_role("button", name="Stopping…")).to_be_disabled()
    gate.opened.set()

    await expect(_messages(console)).to_contain_text("100 jobs cancelled; stopped with 50 of 150 left")
    assert len(await _cancelled(client, mark, 100)) == 100
    await expect(_messages(console).get_by_role("button", name="Close")).to_be_visible()
    await _messages(console).get_by_role("button", name="Go on with the rest").click()
    await expect(_messages(console)).to_contain_text("150 jobs cancelled")
    await expect(_messages(console).get_by_role("button")).to_have_text(["Close"])
    assert len(await _cancelled(client, mark, 150)) == 150


async def test_an_action_that_fails_after_its_page_was_left_says_what_is_left(
    console: Page, client: Client, marked: Marked
) -> None:
    mark = await marked(150)
    gate = Gate(free=2, cuts=True)
    await console.route(CANCEL, gate)
    await _choose_all(console)
    await _cancel(console, 150)
    await expect(_messages(console)).to_contain_text("Cancel: 100 of 150 jobs…")
    await console.get_by_role("link", name="Queue", exact=True).click()
    await expect(console.get_by_role("heading", level=1)).to_have_text("Queue")
    gate.opened.set()

    await expect(_messages(console)).to_contain_text("100 jobs cancelled; then an error came, with 50 of 150 left")
    await expect(_messages(console).get_by_role("alert")).to_contain_text("It is not known whether this was done")
    assert len(await _cancelled(client, mark, 100)) == 100
    await console.unroute(CANCEL)
    await _messages(console).get_by_role("button", name="Go on with the rest").click()
    await expect(_messages(console)).to_contain_text("150 jobs cancelled")
    assert len(await _cancelled(client, mark, 150)) == 150
