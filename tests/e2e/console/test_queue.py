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


async def test_filters_that_match_nothing_can_be_cleared(console: Page) -> None:
    await console.goto(f"/console/queue?name={unique('none')}")
    await expect(console.get_by_text("No waiting task matches these filters")).to_be_visible()

    await console.get_by_role("button", name="Clear filters").click()

    await expect(console).to_have_url(re.compile("/console/queue$"))
