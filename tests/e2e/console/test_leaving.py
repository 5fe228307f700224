"""What becomes of a question, a form or an action whose page is left before it is over."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from hodei.client import Client
from tests.e2e.framework.data import command_job, unique
from tests.fixtures.gate import Gate


async def test_a_question_ends_with_the_page_that_it_is_about(console: Page, client: Client) -> None:
    jobs = [await client.submit(command_job("true")) for _ in range(2)]
    for job in jobs:
        await client.wait(job.id, timeout=30)
    await console.goto("/console/")
    for job in jobs:
        await console.get_by_label("Search jobs").fill(job.id)
        await console.keyboard.press("Enter")
        await expect(console.get_by_role("heading", level=1)).to_have_text(job.name)

    await console.get_by_role("button", name="Delete", exact=True).click()
    await expect(console.get_by_role("dialog", name="Delete this job?")).to_be_visible()
    await console.go_back()

    await expect(console.get_by_role("heading", level=1)).to_have_text(jobs[0].name)
    await expect(console.get_by_role("dialog")).to_have_count(0)
    assert [(await client.job(job.id)).id for job in jobs] == [job.id for job in jobs]


async def test_an_action_that_is_refused_after_its_page_was_left_is_told(console: Page, client: Client) -> None:
    job = await client.submit(command_job("sleep 600"))
    gate = Gate()
    await console.route("**/api/v1/jobs/cancel", gate)
    await console.goto(f"/console/jobs/{job.id}")
    await console.get_by_role("button", name="Cancel", exact=True).click()
    await console.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    await gate.until_held()

    await console.get_by_role("link", name="Queue", exact=True).click()
    await expect(console.get_by_role("heading", level=1)).to_have_text("Queue")
    await client.cancel(job.id)
    await client.wait(job.id, timeout=30)
    gate.opened.set()

    messages = console.get_by_role("region", name="Messages")
    await expect(messages).to_contain_text(f"What you asked for on the page “Job {job.id[-8:]}”, before you left it:")
    await expect(messages.get_by_role("alert")).to_contain_text("This is not possible now")
    await messages.get_by_role("button", name="Close").click()
    await expect(messages).to_have_text("")


@pytest.mark.parametrize(("verb", "said"), [("Rerun", "The new job of"), ("Delete", "The job was deleted.")])
async def test_an_action_opens_no_page_after_its_page_was_left(
    console: Page, client: Client, verb: str, said: str
) -> None:
    job = await client.submit(command_job("true"))
    await client.wait(job.id, timeout=30)
    gate = Gate()
    await console.route(
        re.compile(rf"/api/v1/jobs/{job.id}(/rerun)?$"),
        lambda route: route.continue_() if route.request.method == "GET" else gate(route),
    )
    await console.goto(f"/console/jobs/{job.id}")
    await console.get_by_role("button", name=verb, exact=True).click()
    if verb == "Delete":
        await console.get_by_role("dialog").get_by_role("button", name="Delete the job").click()
    await gate.until_held()

    await console.get_by_role("link", name="Queue", exact=True).click()
    await expect(console.get_by_role("heading", level=1)).to_have_text("Queue")
    gate.opened.set()

    await expect(console.get_by_role("status").filter(has_text=said)).to_be_visible()
    await expect(console.get_by_role("heading", level=1)).to_have_text("Queue")


async def test_that_no_answer_came_is_told_in_the_form_that_was_sent(console: Page) -> None:
    gate = Gate(cuts=True)
    gate.opened.set()
    await console.route("**/api/v1/schedule", gate)
    await console.goto("/console/schedules")
    await console.get_by_role("button", name="New schedule").click()
    form = console.get_by_role("dialog", name="New schedule")
    await form.get_by_label("Command").fill("true")
    await form.get_by_label("Line", exact=True).fill("@daily")
    await form.get_by_role("button", name="Create the schedule").click()

    await expect(form.get_by_role("alert")).to_contain_text("The scheduler does not answer")
    await expect(form.get_by_role("alert")).to_contain_text("It is not known whether this was done")


async def test_a_form_that_was_closed_tells_that_it_was_refused_and_opens_no_page(console: Page) -> None:
    name = unique("closed")
    gate = Gate()
    await console.goto("/console/workers")
    await console.route(re.compile("/api/v1/workers$"), gate)
    await console.get_by_role("button", name="Start a worker").click()
    form = console.get_by_role("dialog", name="Start a worker")
    await form.get_by_label("Name").fill(name)
    await form.get_by_label("Slots").fill("100000000")
    await form.get_by_role("button", name="Start the worker").click()
    await gate.until_held()
    await form.get_by_role("button", name="Close").click()
    gate.opened.set()

    messages = console.get_by_role("region", name="Messages")
    await expect(messages).to_contain_text("What you asked for on the page “Workers”")
    await expect(messages.get_by_role("alert")).to_contain_text("slots")


@pytest.mark.parametrize("leaves", [False, True], ids=["stays", "leaves"])
async def test_a_secret_is_shown_or_said_to_be_lost(guarded_console: Page, leaves: bool) -> None:
    page, name, gate = guarded_console, unique("secret"), Gate()
    await page.goto("/console/workers")
    await page.get_by_role("link", name="Settings", exact=True).click()
    await page.get_by_role("button", name="Create a token").click()
    await page.get_by_role("dialog").get_by_label("Name").fill(name)
    await page.route(re.compile("/api/v1/tokens$"), gate)
    await page.get_by_role("dialog").get_by_role("button", name="Create").click()
    await gate.until_held()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog").get_by_role("button", name="Close")).to_be_disabled()
    if leaves:
        await page.go_back()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Workers")
    gate.opened.set()

    if leaves:
        lost = f"{name} was created, but the page that shows it once was left"
        await expect(page.get_by_role("region", name="Messages")).to_contain_text(lost)
    else:
        await expect(page.get_by_role("dialog").locator("pre")).to_contain_text("hodei_")


async def test_the_form_of_a_new_job_has_nothing_of_the_job_that_was_to_run_again(
    console: Page, client: Client
) -> None:
    job = await client.submit(command_job("echo again", priority="high"))
    await console.goto(f"/console/run?from={job.id}")
    await expect(console.get_by_label("Command", exact=True)).to_have_value("echo again")

    await console.get_by_role("navigation", name="Pages").get_by_role("link", name="Run", exact=True).click()

    await expect(console.get_by_role("heading", level=1)).to_have_text("Run")
    await expect(console.get_by_label("Command", exact=True)).to_have_value("")
    await expect(console.get_by_label("Priority")).to_have_value("normal")
