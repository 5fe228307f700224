"""The page Job: what it tells of a job, how it follows one, and what can be done there. (The log: test_log.py.)"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from hodei.client import Client
from tests.e2e.framework.data import unique
from tests.e2e.framework.platform import Platform
from tests.e2e.framework.waiting import healthy
from tests.fixtures.pages import THEMES, axe, set_theme

RELEASE: dict[str, Any] = {
    "name": "release",
    "params": {"stage": {"default": "dev"}},
    "steps": [
        {"name": "build", "command": 'echo "VERSION=<b>1</b>" >> "$HODEI_OUTPUT"'},
        {
            "name": "check", "command": "true", "depends_on": ["build"],
            "matrix": {"n": list(range(10)), "max_parallel": 4},
        },
        {
            "name": "deploy", "command": 'echo "away" >&2; kill -9 $$', "depends_on": ["check"],
            "env": {"SITE": "north"}, "retry": {"max_attempts": 2, "delay": 0.1},
        },
        {"name": "clean", "command": "true", "depends_on": ["build", "deploy"], "when": "always"},
    ],
}  # fmt: skip


async def _over(client: Client, job: dict[str, Any]) -> str:
    """The id of a job that has ended."""
    made = await client.submit(job)
    await client.wait(made.id, timeout=60)
    return made.id


def _panel(page: Page) -> Locator:
    return page.get_by_role("complementary")


async def test_a_failed_job_tells_where_it_failed_and_why(console: Page, client: Client) -> None:
    job = await _over(client, {"pipeline": RELEASE, "params": {"stage": "prod"}})
    await console.goto(f"/console/jobs/{job}")

    await expect(console.get_by_role("heading", level=1)).to_have_text("release")
    await expect(console.locator(".job-status")).to_contain_text("failed")
    await expect(console.locator(".job-notice")).to_contain_text("deploy failed: ended by SIGKILL (9)")
    await expect(console.get_by_role("link", name="log", exact=True)).to_have_attribute("href", re.compile("tab=log"))
    graph = console.get_by_role("group", name="Graph of the steps")
    await expect(graph.get_by_role("button")).to_have_count(4)
    await expect(graph.get_by_role("button", name="check, 10 tasks: 10 succeeded")).to_contain_text("10/10")

    await console.keyboard.press("f")
    await expect(_panel(console).get_by_role("heading", name="deploy")).to_be_visible()
    await expect(_panel(console).locator(".job-attempts tbody tr")).to_have_count(2)
    await expect(_panel(console).locator(".job-attempts tbody tr").first).to_contain_text("SIGKILL (9)")
    await _panel(console).get_by_text("Environment").first.click()
    await expect(_panel(console)).to_contain_text("HODEI_PARAM_STAGE")
    await expect(_panel(console)).to_contain_text("SITE")

    await console.reload()
    await expect(_panel(console).get_by_role("heading", name="deploy")).to_be_visible()
    await console.keyboard.press("Escape")
    await expect(_panel(console)).to_have_count(0)

    await graph.get_by_role("button", name="build, succeeded").press("Enter")
    await expect(_panel(console)).to_contain_text("<b>1</b>")


async def test_the_tabs_show_the_same_job_in_their_ways(console: Page, client: Client) -> None:
    job = await _over(client, {"pipeline": RELEASE})
    await console.goto(f"/console/jobs/{job}")
    tabs = console.get_by_role("navigation", name="Sections")

    await tabs.get_by_role("link", name="Timeline").click()
    await expect(console.locator(".job-line")).to_have_count(6)  # a scale, the job, and the four steps
    deploy = console.locator(".job-line", has=console.get_by_role("link", name="deploy"))
    await expect(deploy.locator("g > .running")).to_have_count(2)
    await expect(deploy.locator(".job-failed")).to_have_count(2)
    await expect(deploy.get_by_role("img")).to_have_attribute(
        "aria-label", re.compile(r"attempt 2, waiting .* SIGKILL")
    )
    await console.get_by_role("button", name=re.compile("check")).click()
    await expect(console.locator(".job-line")).to_have_count(16)

    await tabs.get_by_role("link", name="Table").click()
    rows = console.get_by_role("region", name="Steps").locator("tbody tr")
    await expect(rows).to_have_count(4)
    await expect(rows.nth(1)).to_contain_text("10 succeeded")
    await console.get_by_role("link", name="failed 1", exact=True).click()
    await expect(rows).to_have_count(1)
    await rows.click()
    await expect(_panel(console).get_by_role("heading", name="deploy")).to_be_visible()

    await tabs.get_by_role("link", name="Events").click()
    events = console.get_by_role("region", name="Events").locator("tbody tr")
    await expect(events).to_have_count(10)  # those of the step that is chosen
    await expect(events.last).to_contain_text("Failed · ended by SIGKILL (9)")
    await console.get_by_role("link", name="Events of all steps").click()
    await expect(events.first).to_contain_text("Job submitted")
    await expect(events.last).to_contain_text("Job failed")

    await tabs.get_by_role("link", name="Definition").click()
    await expect(console.locator(".job-step")).to_have_count(4)
    await expect(console.locator(".job-step").nth(1)).to_contain_text("n: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9")


async def test_an_open_page_follows_a_job_through_its_approval(console: Page, client: Client) -> None:
    inputs = {"version": {"required": True, "pattern": "v[0-9]+"}, "loud": {"type": "boolean", "default": True}}
    ask = {"name": "ask", "type": "approval", "message": "Deploy <i>this</i>?", "inputs": inputs}
    steps = [ask, {"name": "deploy", "command": "true", "depends_on": ["ask"]}]
    job = await client.submit({"pipeline": {"name": "approved", "steps": steps}})
    await console.goto(f"/console/jobs/{job.id}")
    form = console.get_by_role("form", name="Approval ask")
    await expect(form).to_contain_text("Deploy <i>this</i>?")

    await form.get_by_label("version").fill("1")
    await form.get_by_label("Comment").press("Enter")  # which asks, and decides nothing
    await console.get_by_role("dialog").get_by_role("button", name="Keep things").click()
    await expect(form.get_by_role("button", name="Approve")).to_be_enabled()
    await expect(form.locator(".field.wrong")).to_have_count(0)
    await form.get_by_role("button", name="Approve").click()
    await console.get_by_role("dialog").get_by_role("button", name="Approve the step").click()
    await expect(form.locator(".field.wrong")).to_contain_text("version")
    await form.get_by_label("version").fill("v2")
    await form.get_by_label("Comment").fill("tested")
    await form.get_by_role("button", name="Approve").click()
    await console.get_by_role("dialog").get_by_role("button", name="Approve the step").click()

    await expect(console.locator(".job-status")).to_contain_text("succeeded")
    await expect(form).to_have_count(0)
    await console.get_by_role("button", name="ask, succeeded").click()
    await expect(_panel(console)).to_contain_text("Approved: “tested”")
    await expect(_panel(console)).to_contain_text("v2")


async def test_a_refused_input_is_shown_at_its_own_approval(console: Page, client: Client) -> None:
    inputs = {"version": {"required": True, "pattern": "v[0-9]+"}}
    steps = [{"name": name, "type": "approval", "inputs": inputs} for name in ("one", "other")]
    job = await client.submit({"pipeline": {"name": "approved twice", "steps": steps}})
    await console.goto(f"/console/jobs/{job.id}")
    one, other = (console.get_by_role("form", name=f"Approval {name}") for name in ("one", "other"))

    await one.get_by_label("version").fill("1")
    await one.get_by_role("button", name="Approve").click()
    await console.get_by_role("dialog").get_by_role("button", name="Approve the step").click()

    await expect(one.locator(".field.wrong")).to_contain_text("version")
    await expect(other.locator(".field.wrong")).to_have_count(0)
    await client.cancel(job.id)


async def test_a_job_that_waits_says_why_and_is_cancelled(console: Page, client: Client) -> None:
    label = unique("gpu")
    job = await client.submit({"command": "true", "name": "waits", "requires": {"needs": label}})
    await console.goto(f"/console/jobs/{job.id}?tab=table")
    await expect(console.locator(".job-notice")).to_contain_text(f"needs={label}")
    await console.get_by_label("Priority").select_option("high")
    await expect(console.get_by_role("status")).to_contain_text("The priority is high")

    await console.get_by_role("button", name="Cancel").click()
    await console.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    await expect(console.locator(".job-status")).to_contain_text("cancelled")
    await expect(console.locator(".job-notice")).to_have_count(0)


def _cleaning_up(**limits: float) -> dict[str, Any]:
    tidy = {"name": "tidy", "command": "sleep 60", "depends_on": ["work"], "when": "always"}
    return {"pipeline": {"name": "tidy", "steps": [{"name": "work", "command": "sleep 60"}, tidy], **limits}}


async def test_a_job_at_its_time_limit_is_offered_to_end_its_clean_up(console: Page, client: Client) -> None:
    job = await client.submit(_cleaning_up(timeout=2))
    await console.goto(f"/console/jobs/{job.id}")
    await console.get_by_role("button", name="tidy, running").wait_for()

    await console.get_by_role("button", name="End the clean-up").click()
    await console.get_by_role("dialog").get_by_role("button", name="End the clean-up").click()

    await expect(console.locator(".job-status")).to_contain_text("failed")
    assert [task.reason for task in (await client.job(job.id)).tasks] == ["job_timeout", "cancelled"]


async def test_a_question_to_cancel_ends_no_clean_up_that_began_meanwhile(console: Page, client: Client) -> None:
    job = await client.submit(_cleaning_up())
    await console.goto(f"/console/jobs/{job.id}")
    await console.get_by_role("button", name="work, running").wait_for()
    await console.get_by_role("button", name="Cancel", exact=True).click()
    await client.cancel(job.id)  # by another person
    await console.get_by_role("button", name="tidy, running", include_hidden=True).wait_for()

    await console.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()

    await expect(console.get_by_text("It is being stopped already")).to_be_visible()
    await expect(console.get_by_role("button", name="End the clean-up")).to_be_visible()
    assert (await client.job(job.id)).tasks[1].status == "running"
    requests = [one for one in await client.events(job.id) if one.type == "jobs.cancel_requested"]
    assert len(requests) == 1
    await client.cancel(job.id)


async def test_a_job_is_run_again_from_what_failed_and_deleted(console: Page, client: Client) -> None:
    job = await _over(client, {"pipeline": RELEASE})
    await console.goto(f"/console/jobs/{job}")
    await console.get_by_role("button", name="Rerun what failed").click()

    await expect(console.locator(".page-head")).to_contain_text(f"rerun of {job[-8:]}")
    await expect(console.locator(".job-status")).to_contain_text("failed")
    await console.get_by_role("button", name="build, succeeded").click()
    await expect(_panel(console)).to_contain_text(f"Kept from the earlier job {job[-8:]}")

    again = console.url.split("/")[-1].split("?")[0]
    await console.get_by_role("button", name="Delete").click()
    await console.get_by_role("dialog").get_by_role("button", name="Delete the job").click()
    await expect(console.get_by_role("heading", level=1)).to_have_text("Jobs")
    await console.goto(f"/console/jobs/{again}")
    await expect(console.locator(".empty")).to_contain_text(f"There is no job {again}")


async def test_a_page_keeps_a_job_that_is_deleted_elsewhere(console: Page, client: Client) -> None:
    job = await client.submit({"command": "sleep 600", "name": "gone"})
    await console.goto(f"/console/jobs/{job.id}?tab=table")
    await expect(console.locator(".job-status")).to_contain_text("running")
    await client.cancel(job.id)
    await expect(console.locator(".job-status")).to_contain_text("cancelled")
    await client.delete_job(job.id)
    await console.get_by_role("button", name="Rerun").click()

    await expect(console.get_by_text("This job has been deleted. The page shows what it had.")).to_be_visible()
    await expect(console.get_by_role("heading", level=1)).to_have_text("gone")


async def test_an_open_page_goes_on_when_the_orchestrator_was_away(
    console: Page, client: Client, own_platform: Platform, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    wait = {"name": "wait", "command": f"until [ -e {go} ]; do sleep 0.1; done"}
    steps = [wait, {"name": "after", "command": "true", "depends_on": ["wait"]}]
    job = await client.submit({"pipeline": {"name": "patient", "steps": steps}})
    await console.goto(f"/console/jobs/{job.id}?tab=events")
    await expect(console.get_by_text("Started · on")).to_be_visible()

    for pid in own_platform.pids("orchestrator"):
        os.kill(pid, signal.SIGKILL)
    go.touch()
    await healthy(client)

    await expect(console.locator(".job-status")).to_contain_text("succeeded")
    events = console.get_by_role("region", name="Events").locator("tbody tr")
    await expect(events).to_have_count(13)  # each once: the stream went on where it was cut
    await expect(events.last).to_contain_text("Job succeeded")


async def test_a_job_of_very_many_steps_opens_as_a_table(console: Page, client: Client) -> None:
    steps = [{"name": f"s{place}", "command": "true", "requires": {"needs": unique("no")}} for place in range(300)]
    job = await client.submit({"pipeline": {"name": "many", "steps": steps}})
    await console.goto(f"/console/jobs/{job.id}")

    await expect(console.get_by_role("region", name="Steps").locator("tbody tr")).to_have_count(300)
    await console.get_by_role("link", name="Graph").click()
    await expect(console.locator(".job-graph")).to_contain_text("This job has 300 steps")
    await console.get_by_role("link", name="Timeline").click()
    await expect(console.locator(".job-line")).to_have_count(302)
    await client.cancel(job.id)
    await expect(console.locator(".job-status")).to_contain_text("cancelled")


@pytest.mark.parametrize("theme", THEMES)
async def test_every_tab_is_usable_by_all(console: Page, client: Client, theme: str) -> None:
    job = await _over(client, {"pipeline": RELEASE})
    await set_theme(console, theme)
    tabs = ("graph", "timeline", "table", "events", "definition") if theme == "light" else ("graph", "timeline")
    for tab in tabs:
        await console.goto(f"/console/jobs/{job}?tab={tab}&step=deploy")
        await expect(console.locator(".job-tab > :not(.muted)").first).to_be_visible()
        await expect(console.locator(".job-tab")).not_to_contain_text(re.compile("Loading …|Drawing …"))
        assert await axe(console) == [], tab


async def test_the_page_fits_a_telephone(narrow_console: Page, client: Client) -> None:
    job = await _over(client, {"pipeline": RELEASE, "labels": {"a-long-name-of-a-label": "x" * 60}})
    for tab in ("graph", "timeline", "table", "definition"):
        await narrow_console.goto(f"/console/jobs/{job}?tab={tab}&step=deploy")
        await expect(_panel(narrow_console)).to_be_visible()
        wide = await narrow_console.evaluate("document.documentElement.scrollWidth")
        assert wide <= 380, tab
