"""The page Jobs: filters in its URL, rows that stay where they are, and actions on many jobs."""

from __future__ import annotations

import re

from playwright.async_api import Page, expect

from hodei.client import Client
from tests.e2e.framework.data import command_job, pipeline, step, unique
from tests.e2e.framework.platform import Platform

FITS = """
(box) => {
  for (const time of box.querySelectorAll("td time")) time.textContent = "59 min ago";
  for (const duration of box.querySelectorAll("td .duration")) duration.textContent = "23 h 59 min";
  return box.scrollWidth <= box.clientWidth;
}
"""
"""Whether a table has room for its columns, with times as long as they get."""


async def test_filters_are_in_the_url_and_survive_a_reload(console: Page, client: Client) -> None:
    mark = unique("mark")
    for name, command in (("good", "true"), ("bad", "exit 3")):
        job = await client.submit(command_job(command, name=f"{mark}-{name}", labels={"mark": mark}))
        await client.wait(job.id, timeout=30)
    rows = console.locator("tbody tr")

    await console.goto("/console/jobs")
    await console.get_by_label("Filter by").select_option("Label")
    await console.get_by_label("Label", exact=True).fill(f"mark={mark}")
    await console.keyboard.press("Enter")
    await expect(rows).to_have_count(2)
    await console.get_by_role("button", name="failed").click()
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text(f"{mark}-bad")
    await expect(rows).to_contain_text("failed · exit code")
    await expect(console).to_have_url(re.compile(rf"label=mark%3D{mark}&status=failed$"))

    await console.reload()
    await expect(rows).to_have_count(1)
    await console.go_back()
    await expect(rows).to_have_count(2)
    await console.get_by_role("button", name=f"Remove the filter Label: mark={mark}").click()
    await expect(console).to_have_url(re.compile(r"/console/jobs$"))

    await console.get_by_label("Filter by").select_option("Created after")
    await console.get_by_label("Created after").fill("yesterday")
    await console.keyboard.press("Enter")
    await expect(console.get_by_role("alert")).to_have_text(re.compile("should be a time such as"))


async def test_new_jobs_are_counted_and_no_row_moves_until_they_are_asked_for(console: Page, client: Client) -> None:
    mark = unique("live")
    first = await client.submit(command_job("sleep 600", name=f"{mark}-first", labels={"mark": mark}))
    await console.goto(f"/console/jobs?label=mark%3D{mark}")
    rows = console.locator("tbody tr")
    await expect(rows).to_contain_text("running")

    await client.submit(command_job("true", name=f"{mark}-second", labels={"mark": mark}))
    await client.cancel(first.id)
    await expect(console.get_by_role("button", name="1 new")).to_be_visible()
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("cancelled")

    await console.get_by_role("button", name="1 new").click()
    await expect(rows).to_have_count(2)
    await expect(rows.first).to_contain_text(f"{mark}-second")

    await console.get_by_role("button", name="Pause").click()
    third = await client.submit(command_job("true", name=f"{mark}-third", labels={"mark": mark}))
    await client.wait(third.id, timeout=30)
    await expect(console.get_by_text("Updates are paused.")).to_be_visible()
    await console.locator(".page-head").get_by_role("button", name="Resume").click()
    await expect(console.get_by_role("button", name="1 new")).to_be_visible()


async def test_names_and_labels_are_text_whatever_they_hold(console: Page, client: Client) -> None:
    mark = unique("hostile")
    name = f"{mark}<img src=x onerror=\"document.title='hit'\"><script>document.title='hit'</script>"
    await client.submit(command_job("true", name=name, labels={"mark": mark, "b": '"><b onclick=x>'}))
    await console.goto(f"/console/jobs?label=mark%3D{mark}")
    await expect(console.get_by_role("link", name=name)).to_be_visible()
    await expect(console.get_by_role("link", name='b="><b onclick=x>')).to_be_visible()
    await expect(console).to_have_title("Jobs · Hodei")
    await expect(console.locator("main img, main script, main b")).to_have_count(0)


async def test_a_column_that_no_row_has_is_left_out(console: Page, client: Client) -> None:
    mark = unique("plain")
    first = await client.submit(command_job("true", name=mark))
    await client.wait(first.id, timeout=30)
    await console.goto(f"/console/jobs?name={mark}")
    heads = console.get_by_role("columnheader")
    await expect(heads).to_have_text(["", "Status", "Name", "Created", "Took"])

    await client.rerun(first.id)
    await console.get_by_role("button", name="1 new").click()
    await expect(heads).to_have_text(["", "Status", "Name", "Started by", "Created", "Took"])


async def test_the_whole_table_is_seen_from_1024_pixels_on(guarded_console: Page, guarded_platform: Platform) -> None:
    mark = unique("wide")
    urls = [guarded_platform.urls[name] for name in ("orchestrator", "scheduler", "worker_manager")]
    async with Client(*urls, token=guarded_platform.token) as client:
        made = await client.create_pipeline(
            pipeline(
                step("a", "exit 7"), name=f"{mark} builds all the parts of the shop and publishes them, each night"
            )
        )
        labels = {"mark": mark, "team": "the-team-of-the-shop"}
        job = await client.submit({"pipeline_id": made.id, "labels": labels})
        await client.wait(job.id, timeout=60)
        again = await client.rerun(job.id)
        await client.wait(again.id, timeout=60)
        waits = await client.submit(command_job("true", labels={"mark": mark}, run_at="2100-01-01T00:00:00Z"))
        await guarded_console.goto(f"/console/jobs?label=mark%3D{mark}")

        row = guarded_console.locator(f"tr[data-key='{again.id}']")
        await expect(row).to_contain_text("admin")
        await expect(row).to_contain_text(f"rerun of {job.id[-8:]}")
        box = guarded_console.get_by_role("region", name="Jobs")
        for width in (1024, 1120, 1121, 1200, 1440, 1441):
            await guarded_console.set_viewport_size({"width": width, "height": 800})
            assert await box.evaluate(FITS), width
        await client.cancel(waits.id)


async def test_a_table_without_room_shows_at_its_edges_that_there_is_more(narrow_console: Page, client: Client) -> None:
    mark = unique("narrow")
    await client.submit(command_job("true", name=mark, labels={"mark": mark, "team": "the-team-of-the-shop"}))
    await narrow_console.goto(f"/console/jobs?name={mark}")
    box = narrow_console.get_by_role("region", name="Jobs")
    await expect(box).to_have_class("table-box more-after")
    await box.evaluate("box => box.scrollTo(box.scrollWidth, 0)")
    await expect(box).to_have_class("table-box more-before")
    await narrow_console.set_viewport_size({"width": 1280, "height": 800})
    await expect(box).to_have_class("table-box")


async def test_chosen_jobs_are_cancelled_and_all_that_match_are_run_again(console: Page, client: Client) -> None:
    mark = unique("many")
    for number in range(3):
        await client.submit(command_job("sleep 600", name=f"{mark}-{number}", labels={"mark": mark}))
    await console.goto(f"/console/jobs?label=mark%3D{mark}")
    rows = console.locator("tbody tr")
    await expect(rows).to_have_count(3)
    await console.keyboard.press("j")
    await console.keyboard.press("x")
    await console.keyboard.press("j")
    await console.keyboard.press("x")
    await console.get_by_role("button", name="Cancel", exact=True).click()
    await console.get_by_role("dialog").get_by_role("button", name="Cancel 2 jobs").click()
    await expect(console.get_by_text("2 jobs cancelled")).to_be_visible()
    await expect(rows.filter(has_text="cancelled")).to_have_count(2)

    await console.get_by_role("button", name="cancelled").first.click()
    await expect(rows).to_have_count(2)
    await console.get_by_label("Choose all rows shown").check()
    await console.get_by_role("button", name="Choose all that match").click()
    await console.get_by_role("button", name="Rerun", exact=True).click()
    await console.get_by_role("dialog").get_by_role("button", name="Rerun 2 jobs").click()
    await expect(console.get_by_text("2 jobs started again")).to_be_visible()
    assert len([one async for one in client.jobs(label=[f"mark={mark}"])]) == 5

    await console.get_by_label("Choose all rows shown").check()
    await console.get_by_role("button", name="Delete", exact=True).click()
    await console.get_by_role("dialog").get_by_role("button", name="Keep things as they are").click()
    await console.get_by_role("button", name="Delete", exact=True).click()
    await console.get_by_role("dialog").get_by_role("button", name="Delete 2 jobs").click()
    await expect(console.get_by_text("2 jobs deleted")).to_be_visible()
    await expect(console.get_by_text("No job matches")).to_be_visible()


async def test_a_long_list_has_pages_and_back_goes_to_the_page_before(console: Page, client: Client) -> None:
    mark = unique("paged")
    await client.submit_many(
        [command_job("true", name=f"{mark}-{number:02}", labels={"mark": mark}) for number in range(51)]
    )
    await console.goto(f"/console/jobs?label=mark%3D{mark}")
    rows = console.locator("tbody tr")
    await expect(rows).to_have_count(50)
    await console.get_by_role("link", name="Next page").click()
    await expect(rows).to_have_count(1)
    await console.reload()
    await expect(rows).to_have_count(1)
    await console.go_back()
    await expect(rows).to_have_count(50)


async def test_of_ten_thousand_jobs_a_page_is_shown_and_all_are_counted(console: Page) -> None:
    mark = unique("crowd")
    later = "2100-01-01T00:00:00Z"
    for first in range(0, 10_000, 1000):
        jobs = [
            {"command": "true", "name": f"{mark}-{number:05}", "labels": {"mark": mark}, "run_at": later}
            for number in range(first, first + 1000)
        ]
        made = await console.request.post("/api/v1/jobs/batch", data=jobs)
        assert made.ok, await made.text()
    try:
        await console.goto(f"/console/jobs?label=mark%3D{mark}")
        rows = console.locator("tbody tr")
        await expect(rows).to_have_count(50)
        await expect(rows.first).to_contain_text(f"{mark}-09999")
        await console.get_by_role("link", name="Next page").click()
        await expect(rows.first).to_contain_text(f"{mark}-09949")
        await console.get_by_label("Choose all rows shown").check()
        await console.get_by_role("button", name="Choose all that match").click()
        await console.get_by_role("button", name="Cancel", exact=True).click()
        await expect(console.get_by_role("dialog", name="Cancel 10,000 jobs?")).to_be_visible()
    finally:
        more = True
        while more:  # which ends: each request cancels some, or fails
            request = {"filter": {"name": f"{mark}*", "status": ["pending"]}, "limit": 1000}
            cancelled = await console.request.post("/api/v1/jobs/cancel", data=request)
            assert cancelled.ok, await cancelled.text()
            more = (await cancelled.json())["more"]
