"""The pages Schedules and Schedule."""

from __future__ import annotations

import re

from playwright.async_api import Page, Route, expect

from hodei.client import Client
from tests.e2e.framework.data import pipeline as pipeline_of
from tests.e2e.framework.data import step, unique


async def test_a_schedule_is_made_in_the_page_and_says_when_it_fires(console: Page, client: Client) -> None:
    name = unique("backup")
    await console.goto("/console/schedules")
    await console.get_by_role("button", name="New schedule").click()
    form = console.get_by_role("dialog", name="New schedule")
    await form.get_by_label("Name", exact=False).first.fill(name)
    await form.get_by_label("Command").fill("echo saved")
    await form.get_by_label("Line", exact=True).fill("30 2 * * never")
    await form.get_by_label("Time zone").fill("Europe/Madrid")
    await form.get_by_role("button", name="Create the schedule").click()
    await expect(form.get_by_label("Line", exact=True)).to_have_attribute("aria-invalid", "true")

    await form.get_by_label("Line", exact=True).fill("30 2 * * *")
    await form.get_by_role("button", name="Create the schedule").click()

    await expect(console.get_by_role("heading", level=1)).to_have_text(name)
    await expect(console.get_by_text("At 02:30 every day, Europe/Madrid time")).to_be_visible()
    times = console.get_by_role("region", name="Next times").locator("tbody tr")
    await expect(times).to_have_count(5)
    await expect(times.first).to_contain_text(re.compile(r"in \d+ .*\d{4}-\d\d-\d\d 02:30 \+0[12]:00"))
    [schedule] = [each async for each in client.schedules(name=name)]
    await client.delete_schedule(schedule.id)


async def test_a_schedule_is_paused_resumed_fired_and_removed(console: Page, client: Client) -> None:
    schedule = await client.schedule({"command": "echo '<b>'", "name": unique("<img src=x>"), "every": 3600})
    await console.goto(f"/console/schedules/{schedule.id}")
    await expect(console.get_by_role("heading", level=1)).to_have_text(schedule.name or "")

    await console.get_by_role("button", name="Pause").click()
    await expect(console.locator(".page-head .status")).to_have_text("paused")
    await expect(console.get_by_text("If it were resumed now")).to_be_visible()
    await console.get_by_role("button", name="Resume").click()
    await expect(console.locator(".page-head .status")).to_have_text("scheduled")

    await console.get_by_role("button", name="Run now").click()
    history = console.get_by_role("region", name="History").locator("tbody tr")
    await expect(history).to_have_count(1)
    await expect(history).to_contain_text("Run now")
    await expect(history.locator(".status")).to_have_text("succeeded")
    await expect(history.get_by_role("link")).to_have_attribute("href", re.compile("/console/jobs/"))

    await console.get_by_role("button", name="Remove").click()
    await console.get_by_role("dialog").get_by_role("button", name="Remove the schedule").click()
    await expect(console.get_by_role("heading", level=1)).to_have_text("Schedules")
    assert [each async for each in client.schedules(name=schedule.name)] == []


async def test_a_pipeline_that_is_one_of_very_many_is_named_by_its_id(console: Page, client: Client) -> None:
    """The list of pipelines is answered as if it went on after its thousand."""

    async def going_on(route: Route) -> None:
        answer = await route.fetch()
        link = '</api/v1/pipelines?cursor=x>; rel="next"'
        await route.fulfill(response=answer, headers={**answer.headers, "link": link})

    name = unique("nightly")
    pipeline = await client.create_pipeline(pipeline_of(step("one"), name=name))
    await console.route("**/api/v1/pipelines?limit=1000", going_on)
    await console.goto("/console/schedules")
    await console.get_by_role("button", name="New schedule").click()
    form = console.get_by_role("dialog", name="New schedule")
    await form.get_by_label("Name", exact=False).first.fill(name)
    await form.get_by_label("Runs", exact=True).select_option("a pipeline")
    await form.get_by_role("textbox", name="Pipeline").fill(pipeline.id)
    await form.get_by_label("Line", exact=True).fill("@yearly")
    await form.get_by_role("button", name="Create the schedule").click()

    await expect(console.get_by_role("heading", level=1)).to_have_text(name)
    [schedule] = [each async for each in client.schedules(name=name)]
    assert schedule.pipeline_id == pipeline.id
    await client.delete_schedule(schedule.id)


async def test_an_unknown_schedule_is_said_to_be_unknown(console: Page) -> None:
    await console.goto("/console/schedules/0192f0c1-2345-7abc-8def-0123456789ab")

    await expect(console.get_by_role("alert")).to_contain_text("This does not exist")
