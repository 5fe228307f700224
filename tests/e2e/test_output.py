"""Output is bytes, live: what commands write is what people get, at once and step by step; and what is gone is said."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import aiohttp
import nats
import pytest

from hodei.client import Client
from schemas.rest.jobs import JobCreate
from schemas.rest.workers import WorkerStart
from schemas.specs import StepType
from schemas.subjects import LOGS, Catalogue
from tests.e2e.framework import assertions as expect
from tests.e2e.framework.data import command_job, pipeline, step, unique
from tests.e2e.framework.platform import Platform

NUMBERS = "import json; print(json.dumps(list(range(20000))))"
MIXED = r"printf 'caf\351\0\r\n'; printf oops >&2; printf '\rprogress 10%%\rprogress 20%%\n\n'; printf 'no end'"


async def start(platform: Platform, *arguments: str) -> asyncio.subprocess.Process:
    """`hodei` with these arguments, its output to be read as it comes."""
    urls = {f"HODEI_{name.upper()}_URL": url for name, url in platform.urls.items()}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hodei", *arguments,
        env=os.environ | urls, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def hodei(platform: Platform, *arguments: str) -> tuple[int | None, bytes, bytes]:
    process = await start(platform, *arguments)
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode, out, err


async def text(platform: Platform, job_id: str) -> bytes:
    url = f"{platform.urls['orchestrator']}/api/v1/jobs/{job_id}/logs"
    async with aiohttp.ClientSession() as session, session.get(url, headers={"Accept": "text/plain"}) as answer:
        assert answer.status == 200
        return await answer.read()


@pytest.mark.parametrize(
    ("type_", "command", "out", "err"),
    [
        ("python", NUMBERS, str(list(range(20000))).encode() + b"\n", b""),
        ("shell", "head -c 100000 /dev/zero | tr '\\0' x; echo", b"x" * 100_000 + b"\n", b""),
        ("shell", "head -c 3000000 /dev/zero | tr '\\0' x", b"x" * 3_000_000, b""),
        ("bash", MIXED, b"caf\xe9\0\r\n\rprogress 10%\rprogress 20%\n\nno end", b"oops"),
    ],
    ids=["130-kb-line", "100-thousand-x", "3-million-x", "binary-mixed"],
)
async def test_the_text_and_the_command_line_give_the_very_bytes(
    platform: Platform, client: Client, type_: StepType, command: str, out: bytes, err: bytes
) -> None:
    job = await client.submit(command_job(command, type=type_))
    followed = await start(platform, "logs", "-f", job.id)
    assert await followed.communicate() == (out, err)
    assert await hodei(platform, "logs", job.id) == (0, out, err)
    assert (await text(platform, job.id)).replace(err, b"", 1) == out
    assert not (await client.logs(job.id)).truncated


async def test_run_shows_a_prompt_while_its_command_waits(own_platform: Platform, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    go = os.open(tmp_path / "go", os.O_RDWR)
    process = await start(own_platform, "run", "-q", f"printf 'Password: '; read answer <{tmp_path}/go; echo $answer")
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert await process.stdout.readexactly(10) == b"Password: "
        os.write(go, b"secret\n")
        assert await process.communicate() == (b"secret\n", b"")
    os.close(go)


async def test_steps_that_run_side_by_side_are_followed_by_name(
    own_platform: Platform, client: Client, tmp_path: Path
) -> None:
    kind = unique("pair")
    await client.start_worker(WorkerStart(type=kind, slots=2))
    for name in ("slow", "quick"):
        os.mkfifo(tmp_path / name)
    slow, quick = (os.open(tmp_path / name, os.O_RDWR) for name in ("slow", "quick"))
    made = await client.create_pipeline(
        pipeline(
            step("slow", f"echo begun; read _ <{tmp_path}/slow; printf over", requires={"type": kind}),
            step(
                "quick",
                f"for i in 1 2 3; do echo tick $i; read _ <{tmp_path}/quick; done",
                requires={"type": kind},
            ),
        )
    )
    job = await client.submit(JobCreate(pipeline_id=made.id))
    process = await start(own_platform, "logs", "-f", job.id)
    assert process.stdout is not None
    async with asyncio.timeout(60):
        first = {await process.stdout.readline(), await process.stdout.readline()}
        assert first == {b"slow | begun\n", b"quick | tick 1\n"}
        for tick in (2, 3):  # the first step waits all the while
            os.write(quick, b"on\n")
            assert await process.stdout.readline() == b"quick | tick %d\n" % tick
        os.write(quick, b"on\n")
        os.write(slow, b"on\n")
        assert await process.communicate() == (b"slow | over\n", b"")  # the end of the line is ours
    os.close(slow)
    os.close(quick)


async def test_a_log_that_is_no_longer_kept_is_told_in_words(own_platform: Platform, client: Client) -> None:
    made = await client.create_pipeline(pipeline(*(step(f"step-{number}", "echo here") for number in range(5))))
    job = await client.submit(JobCreate(pipeline_id=made.id))
    await expect.succeeds(client, job.id)
    assert own_platform.nats_url is not None
    connection = await nats.connect(own_platform.nats_url, **own_platform.meddling)
    await connection.jetstream().purge_stream(Catalogue(own_platform.namespace).stream(LOGS))
    await connection.close()

    shown = await client.logs(job.id)
    assert (len(shown.logs), shown.truncated, shown.expired) == (5, True, True)
    words = b"hodei: the output of this execution is no longer kept\n"
    assert await text(own_platform, job.id) == words * 5
    assert await hodei(own_platform, "logs", job.id) == (1, b"", words * 5)
    code, out, err = await hodei(own_platform, "logs", "-f", job.id)
    assert (code, out, err.count(words)) == (1, b"", 5)
    assert sorted(err.splitlines())[0] == b"step-0 | " + words.strip()
