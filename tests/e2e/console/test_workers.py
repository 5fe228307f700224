"""The pages Workers and Worker."""

from __future__ import annotations

import re

from playwright.async_api import Page, expect

from hodei.client import Client
from tests.e2e.framework.data import command_job, unique
from tests.e2e.framework.platform import Platform


async def test_a_worker_is_started_drained_resumed_and_stopped(
    console: Page, client: Client, platform: Platform
) -> None:
    kind = unique("north")
    await console.goto("/console/workers")
    await console.get_by_role("button", name="Start a worker").click()
    form = console.get_by_role("dialog", name="Start a worker")
    await form.get_by_label("Name").fill(f"<i>{kind}")
    await form.get_by_label("Type").fill(kind)
    await form.get_by_label("Labels").fill("zone=north, tier")
    await form.get_by_label("Slots").fill("2")
    await form.get_by_role("button", name="Start the worker").click()
    await expect(form.get_by_text("“tier” must be written as KEY=VALUE")).to_be_visible()
    await form.get_by_label("Labels").fill("zone=north, tier=1")
    await form.get_by_role("button", name="Start the worker").click()

    head = console.locator(".page-head")
    await expect(console.get_by_role("heading", level=1)).to_have_text(f"<i>{kind}")
    await expect(head.locator(".status")).to_have_text("online")
    await expect(head).to_contain_text("0 of 2")
    await expect(console.locator(".fleet-facts")).to_contain_text("zone=north")

    job = await client.submit(command_job("sleep 600", requires={"type": kind}))
    running = console.get_by_role("region", name="Executions").locator("tbody tr")
    await expect(running.locator(".status")).to_have_text("running")
    await expect(head).to_contain_text("1 of 2")

    await console.get_by_role("button", name="Drain", exact=True).click()
    await expect(head.locator(".status")).to_have_text("draining")
    await console.get_by_role("button", name="Resume").click()
    await expect(head.locator(".status")).to_have_text("online")

    await console.get_by_role("button", name="Stop at once").click()
    await expect(console.get_by_role("dialog")).to_contain_text("1 execution placed there")
    await console.get_by_role("dialog").get_by_role("button", name="Stop it at once").click()
    await expect(head.locator(".status")).to_have_text("offline")
    await expect(running.locator(".status")).to_contain_text("lost")
    await client.cancel(job.id)


async def test_workers_are_found_by_their_labels(console: Page, client: Client) -> None:
    zone = unique("zone")
    worker = await client.register_worker({"type": "default", "name": unique("paper"), "labels": {"zone": zone}})
    await console.goto("/console/workers?status=online")
    await console.get_by_role("link", name=f"zone={zone}").click()

    rows = console.get_by_role("region", name="Workers").locator("tbody tr")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text(worker.name)
    await expect(console).to_have_url(re.compile(f"label=zone%3D{zone}$"))
    await console.reload()
    await expect(rows).to_have_count(1)
    await expect(console.get_by_label("Label", exact=True)).to_have_value(f"zone={zone}")

    await rows.get_by_role("link", name=worker.name).click()
    await console.get_by_role("button", name="Remove").click()
    await console.get_by_role("dialog").get_by_role("button", name="Remove the worker").click()
    await expect(console.get_by_role("heading", level=1)).to_have_text("Workers")
