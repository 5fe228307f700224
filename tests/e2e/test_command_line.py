"""The command line, as a person uses it: output, exit codes, one clear line when something is wrong."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from hodei.client import Client
from schemas.states import JobStatus
from tests.e2e.framework import assertions as expect
from tests.e2e.framework.platform import Platform

README = Path(__file__).parents[2] / "README.md"


def environment(platform: Platform) -> dict[str, str]:
    return os.environ | {f"HODEI_{name.upper()}_URL": url for name, url in platform.urls.items()}


async def hodei(platform: Platform, *arguments: str, **more: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hodei", *arguments,
        env=environment(platform) | more, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_run_shows_output_and_exits_with_the_commands_code(platform: Platform) -> None:
    assert await hodei(platform, "run", "--", "echo", "a  b", "$HOME") == (0, "a  b $HOME\n", "")
    code, out, err = await hodei(platform, "run", "echo $((6 * 7)); echo oops >&2; exit 7")
    assert (code, out) == (7, "42\n")
    assert err.startswith("oops\n")
    assert "exit_code 7" in err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--timeout", "0.2", "sleep 60"), 124),
        (("--", "/no/such/program", "x"), 127),
        (("kill -9 $$",), 137),
        (("--priority", "urgent", "true"), 2),
        (("--env", "novalue=", "--label", "broken", "true"), 2),
    ],
)
async def test_exit_codes_are_those_of_the_field(platform: Platform, arguments: tuple[str, ...], code: int) -> None:
    assert (await hodei(platform, "run", *arguments))[0] == code


async def test_interrupting_run_cancels_the_job(platform: Platform, client: Client) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hodei", "run", "--name", "interrupted", "echo up; sleep 600",
        env=environment(platform), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()

    assert process.returncode == 130
    job_id = err.decode().split("job ")[1].split(";")[0]
    await expect.ends(client, job_id, JobStatus.CANCELLED)


async def test_detached_listed_and_read(platform: Platform, client: Client) -> None:
    code, out, _ = await hodei(platform, "run", "--detach", "--name", "detached", "echo later")
    job_id = out.strip()
    await expect.succeeds(client, job_id)

    listed = await hodei(platform, "jobs", "--json", "--limit", "1000")
    assert job_id in [json.loads(line)["id"] for line in listed[1].splitlines()]
    assert job_id in (await hodei(platform, "jobs", "--limit", "1000"))[1]
    assert await hodei(platform, "logs", job_id) == (0, "later\n", "")
    assert await hodei(platform, "logs", "-f", job_id) == (0, "later\n", "")
    assert code == 0


async def test_an_unknown_job_and_an_absent_platform_are_one_line(platform: Platform) -> None:
    code, _, err = await hodei(platform, "logs", "no-such-job")
    assert (code, err.count("\n")) == (1, 1)
    assert "404" in err
    code, _, err = await hodei(platform, "jobs", HODEI_ORCHESTRATOR_URL="http://127.0.0.1:9")
    assert (code, err.count("\n")) == (1, 1)
    assert "127.0.0.1:9" in err


async def test_the_readmes_program_runs_as_it_is(platform: Platform) -> None:
    [program] = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program,
        env=environment(platform), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await process.communicate()

    assert (process.returncode, out.decode(), err.decode()) == (0, "hello\nsucceeded\n", "")
