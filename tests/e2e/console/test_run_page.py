"""The page Run: forms of commands and of pipelines, the same as text, and running a job again with changes."""

from __future__ import annotations

import re
import shlex

from playwright.async_api import Page, expect

from hodei.client import Client
from schemas.rest.jobs import JobDetail
from tests.e2e.framework.data import command_job, pipeline, step, unique
from tests.e2e.framework.platform import Platform
from tests.e2e.test_command_line import hodei

A_JOB = re.compile(r"/console/jobs/([0-9a-f-]{36})$")


async def submitted(page: Page, client: Client) -> JobDetail:
    """Press Run, and see the job to which the page goes."""
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page).to_have_url(A_JOB)
    found = A_JOB.search(page.url)
    assert found is not None
    return await client.job(found[1])


async def test_a_command_is_run_and_shown_as_curl_and_as_a_command_line(
    console: Page, client: Client, platform: Platform
) -> None:
    name = unique("form")
    await console.goto("/console/run")
    await console.get_by_role("button", name="Run", exact=True).click()
    await expect(console.get_by_text("is required")).to_be_visible()
    await console.get_by_label("Command", exact=True).fill("echo 'a b'; exit 3")
    await console.get_by_label("Name").fill(name)
    await console.get_by_label("Time limit", exact=True).fill("soon")
    await console.get_by_label("Attempts at most").fill("2")
    await console.get_by_text("More settings").click()
    await console.get_by_label("Labels").fill(f"mark={name}\ntier=1")
    await console.get_by_label("Priority").select_option("high")
    await console.get_by_role("button", name="Run", exact=True).click()
    await expect(console.get_by_text("should be a number")).to_be_visible()
    await expect(console.get_by_label("Time limit", exact=True)).to_be_focused()
    await console.get_by_label("Time limit", exact=True).fill("60")

    text = console.get_by_role("region", name="The same as text")
    await expect(text).to_contain_text(f"hodei run \\\n  --name {name} \\\n  --label mark={name}")
    await expect(text).to_contain_text("/api/v1/jobs")

    program, command, *arguments = shlex.split((await text.locator("pre").first.inner_text()).replace("\\\n", ""))
    assert (program, command) == ("hodei", "run")
    code, job_id, _ = await hodei(platform, command, "--detach", *arguments)
    assert code == 0
    typed = await client.job(job_id.strip())

    job = await submitted(console, client)
    assert (typed.name, typed.labels, typed.priority) == (job.name, job.labels, job.priority)
    assert (typed.tasks[0].command, typed.tasks[0].timeout) == (job.tasks[0].command, job.tasks[0].timeout)
    assert (job.name, job.labels, job.priority) == (name, {"mark": name, "tier": "1"}, "high")
    [task] = job.tasks
    assert (task.command, task.timeout) == ("echo 'a b'; exit 3", 60)
    assert task.retry is not None
    assert task.retry.max_attempts == 2


async def test_what_the_service_refuses_is_said_at_its_field(console: Page) -> None:
    await console.goto("/console/run")
    await console.get_by_label("Command", exact=True).fill("true")
    await console.get_by_text("More settings").click()
    await console.get_by_label("Labels").fill("a b=1")
    await console.get_by_role("button", name="Run", exact=True).click()
    await expect(console.locator(".field.wrong")).to_contain_text("is not a label's key")


async def test_a_number_outside_its_bounds_does_not_leave_the_page(console: Page) -> None:
    await console.goto("/console/run")
    sent: list[str] = []
    console.on("request", lambda request: sent.append(request.method))
    await console.get_by_label("Command", exact=True).fill("true")
    await console.get_by_label("Time limit", exact=True).fill("0")
    await console.get_by_label("Attempts at most").fill("1e9")
    more = console.get_by_text("More settings")
    await more.click()
    await console.get_by_label("GPUs").fill("-1")
    await more.click()
    await console.get_by_role("button", name="Run", exact=True).click()

    wrong = console.locator(".field.wrong .error")
    await expect(wrong).to_have_text(["should be greater than 0", "should be at most 100", "should be at least 0"])
    await expect(console.get_by_label("GPUs")).to_be_visible()  # the settings were closed
    assert "POST" not in sent


async def test_the_forms_of_jobs_and_schedules_name_the_interpreters_alike(console: Page) -> None:
    await console.goto("/console/run")
    options = console.get_by_label("Interpreter").locator("option")
    await expect(options).to_have_count(4)
    names = await options.all_inner_texts()
    await console.goto("/console/schedules")
    await console.get_by_role("button", name="New schedule").click()
    await expect(options).to_have_text(names)


async def test_a_pipelines_form_is_made_of_its_parameters(console: Page, client: Client) -> None:
    params = {
        "version": {"required": True, "pattern": "v\\d+", "description": "What to deploy."},
        "stage": {"type": "choice", "choices": ["dev", "prod"], "default": "dev"},
        "replicas": {"type": "integer", "default": 2},
        "dry_run": {"type": "boolean", "default": False},
    }
    made = await client.create_pipeline(pipeline(step("a"), params=params))
    await console.goto("/console/run?kind=pipeline")
    await console.get_by_label("Pipeline", exact=True).select_option(made.name)
    await expect(console.get_by_text("What to deploy. · Matches v\\d+")).to_be_visible()
    await console.get_by_label("version (required)").fill("3")
    await console.get_by_label("stage").select_option("prod")
    await console.get_by_label("replicas").fill("many")
    await console.get_by_label("dry_run").select_option("true")
    await console.get_by_role("button", name="Run", exact=True).click()
    await expect(console.get_by_text("should be a whole number")).to_be_visible()
    await console.get_by_label("replicas").fill("5")
    await console.get_by_role("button", name="Run", exact=True).click()
    await expect(console.get_by_text("should match the pattern")).to_be_visible()
    await console.get_by_label("version (required)").fill("v3")
    await expect(console.get_by_text(f"hodei pipelines run {made.name}")).to_be_visible()

    job = await submitted(console, client)
    assert job.pipeline_id == made.id
    assert job.params == {"version": "v3", "stage": "prod", "replicas": 5, "dry_run": True}


async def test_a_job_is_run_again_with_changes_and_what_is_hidden_is_named(console: Page, client: Client) -> None:
    first = await client.submit(
        command_job(["echo", "a b"], labels={"team": "web"}, env={"LANG": "C", "API_TOKEN": "secret"}, timeout=60)
    )
    await console.goto(f"/console/run?from={first.id}")
    await expect(console.get_by_role("heading", level=1)).to_have_text("Run again with changes")
    await expect(console.get_by_text("hidden or has no field here: variable API_TOKEN")).to_be_visible()
    await expect(console.get_by_label("Command", exact=True)).to_have_value("echo 'a b'")
    await console.get_by_label("Time limit", exact=True).fill("90")

    job = await submitted(console, client)
    assert (job.name, job.labels, job.tasks[0].timeout) == (first.name, {"team": "web"}, 90)
    assert {**job.env, **job.tasks[0].env} == {"LANG": "C"}
    assert job.tasks[0].type == "exec"

    unstored = await client.submit({"pipeline": pipeline(step("a"), step("b", "true", "a")).model_dump()})
    await console.goto(f"/console/run?from={unstored.id}")
    await expect(console.get_by_text("ran a pipeline that is not stored")).to_be_visible()
