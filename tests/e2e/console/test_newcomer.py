"""A newcomer without a mouse: runs into a job that waits and one that failed, and gets on."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from hodei.client import Client
from tests.e2e.framework.data import command_job, unique


@pytest.mark.smoke
async def test_a_newcomer_finds_why_a_job_waits_and_reruns_one_that_failed_by_keys_alone(
    console: Page, client: Client
) -> None:
    label, keys = unique("nowhere"), console.keyboard
    waits = await client.submit(command_job("true", name=unique("waits"), requires={label: "yes"}))
    fails = await client.submit(command_job("echo fine; echo cannot open the gate >&2; exit 3", name=unique("fails")))
    await client.wait(fails.id, timeout=30)

    await console.goto("/")
    await expect(console.get_by_role("heading", level=1)).to_have_text("Now")  # keys are heard from now on
    await keys.press("g")
    await keys.press("q")
    await expect(console.get_by_role("heading", level=1)).to_have_text("Queue")
    await expect(console.get_by_text(re.compile(f"label {label}=yes")).first).to_be_visible()

    await keys.press("/")
    await keys.type(fails.id[-8:])
    await keys.press("Enter")
    await expect(console.get_by_role("heading", level=1)).to_have_text(fails.name)
    await reach(console, "Log")
    await keys.press("Enter")
    await expect(console.get_by_text("cannot open the gate")).to_be_visible()
    await reach(console, "Rerun")
    await keys.press("Enter")
    await expect(console).to_have_url(re.compile(rf"/console/jobs/(?!{fails.id})"))
    await client.cancel(waits.id)


async def reach(page: Page, text: str) -> None:
    """Press Tab until a link or button with this text has the focus. Raises AssertionError if none gets it."""
    for _ in range(80):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.textContent.trim()") == text:
            return
    raise AssertionError(f"nothing called {text!r} is reached by Tab")
