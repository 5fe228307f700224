"""The pages Pipelines and Pipeline: finding one, its definition, versions and runs, and archiving it."""

from __future__ import annotations

import re

from playwright.async_api import Page, expect

from hodei.client import Client
from hodei.definitions import fields_of, text_of
from schemas.rest.pipelines import Pipeline
from tests.e2e.framework.data import pipeline, step


async def made(client: Client, **fields: object) -> Pipeline:
    return await client.create_pipeline(
        pipeline(
            step("build", "set -e\n\tmake 'all'\n"),
            step("10", ["echo", "a: b", "#c", "-1", "yes", ""], "build", matrix={"os": ["a", "3.10"], "n": [1, 2]}),
            step("2", "true", "10", retry={"max_attempts": 3}, resources={"gpu": 1}, **{"if": "params.x == '1'"}),
            params={"x": {"type": "choice", "choices": ["1", "no"], "default": "1"}},
            concurrency_key="k-${{ params.x }}",
            concurrency={},
            timeout=600,
            **fields,
        )
    )


async def test_a_pipeline_is_found_by_the_beginning_of_its_name_and_archived(console: Page, client: Client) -> None:
    name = f"{pipeline().name}<script>document.title='hit'</script>"
    one = await made(client, name=name, description="<b>bold</b>")
    await console.goto("/console/pipelines")
    await console.get_by_label("Name", exact=True).fill(f"{name[:-30]}*")
    await console.keyboard.press("Enter")
    await expect(console.locator("tbody tr")).to_have_count(1)
    await expect(console.locator("tbody tr")).to_contain_text("<b>bold</b>")
    await console.locator("tbody tr").click()
    await expect(console.get_by_role("heading", level=1)).to_have_text(name)
    await expect(console.locator("main").get_by_role("link", name="Run", exact=True)).to_have_attribute(
        "href", re.compile(rf"/console/run\?pipeline={one.id}$")
    )

    await console.get_by_role("button", name="Archive").click()
    await console.get_by_role("dialog").get_by_role("button", name="Archive it").click()
    await expect(console.locator("tbody tr").first).to_contain_text(name)
    await console.goto(f"/console/pipelines/{one.id}")
    await expect(console.locator(".facts")).to_contain_text("archived")
    await expect(console.get_by_role("button", name="Archive")).to_have_count(0)


async def test_the_yaml_to_copy_is_the_pipeline(console: Page, client: Client) -> None:
    one = await made(client)
    await console.goto(f"/console/pipelines/{one.id}?tab=definition")
    text = await console.locator(".definition pre").inner_text()
    assert fields_of(await client.validate_pipeline(text)) == fields_of(one)
    plain = await client.create_pipeline(
        pipeline(step("a", "echo\tx"), step("b", "a\nb", "a"), env={"N": "1", "Y": "y"})
    )
    await console.goto(f"/console/pipelines/{plain.id}?tab=definition")
    assert (await console.locator(".definition pre").inner_text()).split("\n") == text_of(plain).split("\n")


async def test_two_versions_are_compared_line_by_line(console: Page, client: Client) -> None:
    one = await client.create_pipeline(pipeline(step("a", "echo one")))
    await client.update_pipeline(one.id, pipeline(step("a", "echo two"), name=one.name))
    await client.update_pipeline(one.id, pipeline(step("a", "echo two"), name=one.name, description="New."))
    await console.goto(f"/console/pipelines/{one.id}?tab=versions")
    changes = console.get_by_role("region", name="Changes from version 2 to 3")
    await expect(changes.locator("tr.added")).to_contain_text("description: New.")
    await console.get_by_role("link", name="1 → 2").click()
    changes = console.get_by_role("region", name="Changes from version 1 to 2")
    await expect(changes.locator("tr.removed")).to_contain_text("command: echo one")
    await expect(changes.locator("tr.added")).to_contain_text("command: echo two")
    await console.get_by_label("To version").select_option("3")
    await expect(console.get_by_role("region", name="Changes from version 1 to 3")).to_contain_text(
        "2 lines added, 1 line removed"
    )


async def test_the_last_runs_are_bars_that_lead_to_their_jobs(console: Page, client: Client) -> None:
    one = await client.create_pipeline(pipeline(step("a", 'test "$HODEI_PARAM_X" = 1'), params={"x": {"default": "1"}}))
    for value in ("1", "2"):
        job = await client.submit({"pipeline_id": one.id, "params": {"x": value}})
        await client.wait(job.id, timeout=30)
    await console.goto(f"/console/pipelines/{one.id}")
    bars = console.locator(".bars a")
    await expect(bars).to_have_count(2)
    await expect(bars.last).to_have_accessible_name(re.compile("failed"))
    await expect(console.locator(".numbers")).to_contain_text("50 %")
    await bars.last.click()
    await expect(console).to_have_url(re.compile(rf"/console/jobs/{job.id}$"))
