"""The page Settings."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.e2e.framework.data import unique
from tests.fixtures.pages import axe

TABS = ("tokens", "join-tokens", "credentials", "audit", "retention", "platform")


@pytest.mark.parametrize(
    ("tab", "create", "beginning"),
    [
        ("tokens", "Create a token", "hodei_"),
        ("join-tokens", "Create a join token", "hodei_join_"),
        ("credentials", "Create credentials", "-----BEGIN NATS USER JWT"),
    ],
)
async def test_what_is_created_is_shown_once_and_can_be_revoked(
    guarded_console: Page, tab: str, create: str, beginning: str
) -> None:
    mark = unique("<i>console</i>")
    await guarded_console.goto(f"/console/settings?tab={tab}")
    await guarded_console.get_by_role("button", name=create).click()
    dialog = guarded_console.get_by_role("dialog")
    await dialog.get_by_label("Name").fill(mark)
    assert await axe(guarded_console) == []
    await dialog.get_by_role("button", name="Create").click()
    await expect(dialog.locator("pre")).to_contain_text(beginning)
    await dialog.get_by_role("button", name="I have copied it").click()

    row = guarded_console.get_by_role("row").filter(has_text=mark)
    await expect(row).to_contain_text("active")
    await expect(guarded_console.locator("body")).not_to_contain_text(beginning)
    await row.get_by_role("button", name="Revoke").click()
    await guarded_console.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    await expect(row).to_contain_text("revoked")

    await guarded_console.get_by_label("State").select_option("active")
    await expect(row).to_have_count(0)
    await guarded_console.reload()
    await expect(guarded_console.get_by_label("State")).to_have_value("active")


async def test_every_tab_is_usable_by_all(guarded_console: Page) -> None:
    for tab in TABS:
        await guarded_console.goto(f"/console/settings?tab={tab}")
        await expect(guarded_console.get_by_role("region").or_(guarded_console.locator(".empty")).last).to_be_visible()
        assert await axe(guarded_console) == [], tab
    await expect(guarded_console.get_by_text("worker manager", exact=True)).to_be_visible()


async def test_what_the_service_refuses_is_shown_at_its_field(guarded_console: Page) -> None:
    await guarded_console.goto("/console/settings?tab=join-tokens")
    await guarded_console.get_by_role("button", name="Create a join token").click()
    await guarded_console.get_by_label("Name").fill("x")
    await guarded_console.get_by_label("Workers that may join").fill("0")
    await guarded_console.get_by_role("button", name="Create", exact=True).click()

    field = guarded_console.get_by_label("Workers that may join")
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(field).to_have_accessible_description("should be greater than or equal to 1")
