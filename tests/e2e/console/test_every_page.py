"""What holds for all pages of the console: everyone can use them, on a telephone too; their URLs hold their filters;
and they outlive a service."""

from __future__ import annotations

import os
import re
import signal

import pytest
from playwright.async_api import Browser, Page, expect

from hodei.client import Client
from tests.e2e.console.example import example
from tests.e2e.framework.data import unique
from tests.e2e.framework.platform import Platform
from tests.e2e.framework.waiting import healthy
from tests.fixtures.pages import axe, open_page, set_theme

UNREACHABLE = """
[...document.querySelectorAll("a:not(.log-number), button, input, select, textarea, summary, [role=button]")]
  .filter(element => element.tabIndex < 0 && !element.disabled).map(element => element.outerHTML)
"""
"""What Tab does not reach, but for the numbers of the lines of a log: there is a field for a line beside them."""


async def test_every_page_is_usable_by_all_in_both_themes_and_on_a_telephone(
    browser: Browser, platform: Platform, client: Client
) -> None:
    url, found = platform.urls["orchestrator"], []
    async with example(client) as shown, open_page(browser, url) as page:
        for name, (path, text) in shown.pages.items():
            await page.set_viewport_size({"width": 1280, "height": 800})
            await page.goto(path)
            await expect(page.locator("main")).to_contain_text(text)
            await expect(page.locator("main")).not_to_contain_text("Loading")
            await set_theme(page, "light")
            found += [f"{name}: {problem}" for problem in await axe(page)]
            await set_theme(page, "dark")
            found += [f"{name}, dark: {problem}" for problem in await axe(page, only=["color-contrast"])]

            found += [f"{name}, not reached by Tab: {element}" for element in await page.evaluate(UNREACHABLE)]
            await page.set_viewport_size({"width": 380, "height": 800})
            if await page.evaluate("document.scrollingElement.scrollWidth") > 380:
                found.append(f"{name}: is wider than a telephone")
    assert found == []


async def test_hostile_texts_are_text_on_every_page(console: Page, client: Client) -> None:
    evil = f"""{unique("x")}<img src=x onerror="window.ran = true">"""
    turned = "echo \u202egnp.exe"
    worker = await client.register_worker({"name": evil, "labels": {"owner": evil}})
    pipeline = await client.create_pipeline(
        {"name": evil, "description": evil, "steps": [{"name": "a", "command": turned}]}
    )
    job = await client.submit(
        {
            "name": evil,
            "command": turned,
            "requires": {"owner": f"not {evil}"},
            "labels": {"of": evil},
            "env": {"E": evil},
        }
    )
    schedule = await client.schedule({"name": evil, "command": turned, "every": 3600, "labels": {"of": evil}})
    once = await client.schedule({"command": turned, "run_at": "2100-01-01T00:00:00Z"})
    for path in (
        f"workers/{worker.id}", "workers", f"pipelines/{pipeline.id}", "pipelines", f"run?pipeline={pipeline.id}",
        f"jobs/{job.id}", f"jobs/{job.id}?tab=definition", f"run?from={job.id}", "jobs", "queue",
        f"schedules/{schedule.id}", "schedules", f"search?q={job.id[-8:]}",
    ):  # fmt: skip
        await console.goto(f"/console/{path}")
        await expect(console.locator("main")).to_contain_text(evil)
        assert await console.evaluate("[window.ran, document.images.length]") == [None, 0], path
    await console.goto(f"/console/schedules/{once.id}")
    await expect(console.get_by_role("heading", level=1)).to_have_text("echo ⟨202E⟩gnp.exe")

    await client.cancel(job.id)
    for made in (schedule, once):
        await client.delete_schedule(made.id)


@pytest.mark.parametrize(
    ("path", "label", "value"),
    [
        ("/console/schedules", "Status", "paused"),
        ("/console/schedules", "Name", "back up <b>&"),
        ("/console/queue", "Priority", "high"),
        ("/console/queue", "Requires", "gpu=a=b"),
        ("/console/workers", "Status", "draining"),
        ("/console/workers", "Label", "zone=north+1"),
    ],
)
async def test_filters_survive_a_reload(console: Page, path: str, label: str, value: str) -> None:
    await console.goto(path)
    field = console.get_by_role("search", name="Filters").get_by_label(label, exact=True)
    if await field.evaluate("field => field.tagName") == "SELECT":
        await field.select_option(value)
    else:
        await field.fill(value)
        await field.press("Tab")
    await expect(console).to_have_url(re.compile(rf"\?{label.lower()}="))

    await console.reload()

    await expect(field).to_have_value(value)
    await expect(console.locator("main")).to_contain_text("matches these filters")


async def test_a_page_keeps_what_it_has_while_a_service_is_away(
    console: Page, client: Client, own_platform: Platform
) -> None:
    scheduler = f"{own_platform.urls['scheduler']}/**"
    worker = await client.register_worker({"type": unique("kept"), "name": unique("kept")})
    await console.goto(f"/console/workers?type={worker.type}")
    row = console.get_by_role("region", name="Workers").locator("tbody tr")
    await expect(row).to_contain_text(worker.name)

    await console.route(scheduler, lambda route: route.abort("connectionrefused"))
    await expect(console.get_by_text("The scheduler does not answer. This page keeps what it has")).to_be_visible()
    await expect(row).to_contain_text(worker.name)

    for pid in own_platform.pids("scheduler"):
        os.kill(pid, signal.SIGKILL)
    await healthy(client)
    await client.drain_worker(worker.id)
    await console.unroute(scheduler)

    await expect(row.locator(".status")).to_have_text("draining")
    await expect(console.get_by_text("The scheduler does not answer")).to_have_count(0)
