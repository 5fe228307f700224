"""The page Queue: what waits, in its order, and why."""

from __future__ import annotations

import re

from playwright.async_api import Page, expect

from hodei.client import Client
from tests.e2e.framework.data import command_job, unique


async def test_the_queue_shows_what_waits_and_why(console: Page, client: Client) -> None:
    label = unique("nowhere")
    jobs = [
        await client.submit(command_job("true", requires={label: "yes"}, priority=priority))
        for priority in ("low", "high")
    ]
    await console.goto(f"/console/queue?requires={label}%3Dyes")

    rows = console.get_by_role("region", name="Queue").locator("tbody tr")
    await expect(rows).to_have_count(2)
    await expect(rows.nth(0)).to_contain_text("high")
    await expect(rows.nth(1)).to_contain_text("low")
    for row in await rows.all():
        await expect(row).to_contain_text(re.compile(f"worker.*{label}", re.IGNORECASE))
        await expect(row).to_contain_text(f"{label}=yes")

    await client.cancel(jobs[1].id)
    await expect(rows).to_have_count(1)
    await rows.get_by_role("link").first.click()
    await expect(console).to_have_url(re.compile(f"/console/jobs/{jobs[0].id}"))
    await client.cancel(jobs[0].id)


async def test_a_delayed_task_is_not_due(console: Page, client: Client) -> None:
    name = unique("later")
    job = await client.submit(command_job("true", name=name, run_at="2100-01-01T00:00:00Z"))
    await console.goto(f"/console/queue?name={job.tasks[0].name}")

    row = console.get_by_role("region", name="Queue").locator(f"tbody tr[data-key='{job.tasks[0].id}']")
    await expect(row).to_contain_text("Not due before 1 Jan 2100")
    await client.cancel(job.id)
    await expect(row).to_have_count(0)


async def test_a_job_that_waits_for_a_key_names_the_job_that_holds_it(console: Page, client: Client) -> None:
    key = unique("key")
    nowhere = {unique("nowhere"): "yes"}
    holder = await client.submit(command_job("true", name="holder", requires=nowhere, concurrency_key=key))
    waits = await client.submit(command_job("true", concurrency_key=key))
    why = f"the concurrency key '{key}' lets at most 1 job at a time run, and job holder {holder.id[-8:]} holds it"

    for page in ("queue", ""):
        await console.goto(f"/console/{page}")
        line = console.get_by_text(re.compile("waits? for a concurrency key, and not for a worker yet"))
        await expect(line.get_by_role("link", name=key)).to_be_visible()
    await line.get_by_role("link", name=key).click()
    row = console.locator("tbody tr", has_text=waits.id[-8:])
    await expect(row).to_contain_text(f"waits for the concurrency key {key}")

    await row.get_by_role("link").first.click()
    notice = console.locator(".job-notice")
    await expect(notice).to_contain_text(f"This job waits: {why}; it is the next one.")
    await notice.get_by_role("link", name=re.compile("holder")).click()
    await expect(console).to_have_url(re.compile(f"/console/jobs/{holder.id}"))

    await client.cancel(holder.id)
    await client.wait(waits.id, timeout=30)


async def test_filters_that_match_nothing_can_be_cleared(console: Page) -> None:
    await console.goto(f"/console/queue?name={unique('none')}")
    await expect(console.get_by_text("No waiting task matches these filters")).to_be_visible()

    await console.get_by_role("button", name="Clear filters").click()

    await expect(console).to_have_url(re.compile("/console/queue$"))
