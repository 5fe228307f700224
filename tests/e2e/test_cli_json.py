"""What commands print with `--json` on a real platform is what docs/cli.md promises; and the commands that find things
by ids: open, doctor, delete, and the completion of ids."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import pytest
from typer.testing import CliRunner, Result

from docs.command_line import model
from hodei.cli import app
from hodei.client import Client
from hodei.manual import MANUAL
from tests.e2e.framework.data import command_job, pipeline, step, unique
from tests.e2e.framework.platform import Platform


def environment(platform: Platform) -> dict[str, str]:
    return {f"HODEI_{name.upper()}_URL": url for name, url in platform.urls.items()}


async def hodei(platform: Platform, *arguments: str) -> Result:
    """Run a command in a thread, as it has an event loop of its own."""
    runner = CliRunner(env=environment(platform))
    async with asyncio.timeout(60):
        return await asyncio.to_thread(runner.invoke, app, list(arguments))


async def fits(platform: Platform, *arguments: str, of: str = "") -> list[dict[str, object]]:
    """The JSON of a command, after a check that its lines are of the model that its entry in the manual names."""
    result = await hodei(platform, *arguments, "--json")
    assert result.exit_code == 0, result.output
    path = " ".join(arguments[:2]) if " ".join(arguments[:2]) in MANUAL else arguments[0]
    promised = of or MANUAL[path].json.split("`")[1]
    lines = result.stdout.splitlines()
    assert lines
    for line in lines:
        found = model(promised).model_validate_json(line)
        fields = {info.serialization_alias or name for name, info in type(found).model_fields.items()}
        assert set(json.loads(line)) <= fields
    return [json.loads(line) for line in lines]


async def test_json_has_the_shape_that_is_documented(platform: Platform, client: Client) -> None:
    made = await client.create_pipeline(pipeline(step("one"), name=unique("shapes")))
    job = await client.submit({"pipeline_id": made.id})
    await client.wait(job.id, timeout=30)
    later = await client.schedule({"command": "true", "cron": "0 3 * * *", "name": unique("later")})
    short = job.id[-8:]

    for named in (made.name, made.id, made.id[-8:]):
        assert [one["id"] for one in await fits(platform, "jobs", "--pipeline", named)] == [job.id]
    for arguments in (
        ("show", short), ("explain", short), ("wait", short), ("executions", "--job", short), ("logs", short),
        ("events", "--job", short, "--since", "1h", "--no-follow"), ("whoami",), ("version",), ("doctor",),
        ("workers", "list", "--limit", "1"), ("pipelines", "show", made.name), ("pipelines", "versions", made.name),
        ("schedules", "show", later.id[-8:]), ("schedules", "next", later.id[-8:], "--count", "2"),
        ("schedules", "pause", later.id[-8:]), ("rerun", short),
    ):  # fmt: skip
        if arguments[0] == "logs":  # it wrote nothing
            assert (await hodei(platform, *arguments, "--json")).stdout == ""
        else:
            await fits(platform, *arguments)
    await fits(platform, "jobs", "--counts", of="JobCounts")
    removed = await hodei(platform, "schedules", "remove", later.id[-8:], "--json")
    assert json.loads(removed.stdout) == {"id": later.id}


async def test_delete_takes_several_jobs_and_names_one_that_is_not_there(platform: Platform, client: Client) -> None:
    jobs = await client.submit_many([command_job("true"), command_job("true")])
    for job in jobs:
        await client.wait(job.id, timeout=30)
    deleted = await hodei(platform, "delete", *(job.id[-8:] for job in jobs), "--json")
    assert [json.loads(line)["id"] for line in deleted.stdout.splitlines()] == [job.id for job in jobs]
    again = await hodei(platform, "delete", jobs[0].id)
    assert again.exit_code == 1
    assert again.stderr == f"hodei: there is no job {jobs[0].id}\n"


async def test_open_finds_the_page_of_anything(platform: Platform, client: Client) -> None:
    made = await client.create_pipeline(pipeline(step("one"), name=unique("opened")))
    job = await client.submit(command_job("true"))
    base = next(one.url for one in (await client.platform()).services if one.name == "orchestrator")

    async def opened(*arguments: str) -> str:
        result = await hodei(platform, "open", *arguments)
        assert result.exit_code == 0, result.output
        return result.stdout.strip()

    assert await opened() == f"{base}/"
    assert await opened("queue") == f"{base}/console/queue"
    assert await opened(job.id) == await opened(job.id[-8:]) == f"{base}/console/jobs/{job.id}"
    assert await opened(made.name) == await opened(made.id) == f"{base}/console/pipelines/{made.id}"
    assert json.loads((await hodei(platform, "open", "jobs", "--json")).stdout) == {"url": f"{base}/console/jobs"}
    nothing = await hodei(platform, "open", unique("nothing"))
    assert (nothing.exit_code, "there is no page, job, pipeline" in nothing.stderr) == (1, True)


async def test_doctor_finds_nothing_wrong_with_a_platform_that_works(platform: Platform) -> None:
    result = await hodei(platform, "doctor")
    assert (result.exit_code, [line for line in result.stdout.splitlines() if line.startswith("wrong")]) == (0, [])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_a_shell_is_offered_ids_that_begin_as_typed(platform: Platform, client: Client, shell: str) -> None:
    job = await client.submit(command_job("true", name=unique("[/offered]")))
    line = f"hodei show {job.id[-8:-4]}"
    asked = {
        "_HODEI_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": "2",
        "_TYPER_COMPLETE_ARGS": line,
    }
    asked |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import sys; sys.argv = ['hodei']; from hodei.__main__ import main; main()",
        env=os.environ | environment(platform) | asked, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert (job.id[-8:] in out.decode(), err) == (True, b"")
