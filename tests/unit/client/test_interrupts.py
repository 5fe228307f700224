"""An interrupt ends the command line with exit code 130 and no traceback, whenever it comes."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

ROOT = Path(__file__).parents[3]
UNSET = "reason detail pipeline_id pipeline_version run_at rerun_of schedule_id started_at finished_at"
JOB = dict.fromkeys(UNSET.split()) | {
    "id": "019a0000-0000-7000-8000-000000000001",
    "name": "job",
    "status": "running",
    "priority": "normal",
    "params": {},
    "labels": {},
    "created_at": "2026-01-01T00:00:00Z",
}
INTERRUPTED_AT_IMPORT = """
import os, signal, sys
module = sys.argv.pop(1)

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
from hodei.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("module", "arguments"),
    [("hodei.cli", []), ("pydantic", ["jobs"]), ("hodei.up", ["up"]), ("hodei.demo", ["demo"])],
)
def test_an_interrupt_while_a_module_is_loaded_ends_it_quietly(module: str, arguments: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AT_IMPORT, module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr.strip()) == (128 + signal.SIGINT, "")


@pytest.mark.parametrize("arguments", [["--json"], []])
async def test_an_interrupt_ends_a_list_that_waits_for_the_reader_of_a_pipe(arguments: list[str]) -> None:
    async def jobs(request: web.Request) -> web.Response:
        return web.json_response([JOB] * 200)

    app = web.Application()
    app.router.add_get("/api/v1/jobs", jobs)
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    full = asyncio.Event()  # its first block fills the pipe
    asyncio.get_running_loop().add_reader(reading, full.set)
    async with TestServer(app) as server:
        listing = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hodei", "jobs", "--limit", "200", *arguments),
            env={**os.environ, "HODEI_ORCHESTRATOR_URL": str(server.make_url("/"))},
            stdout=writing,
            stderr=asyncio.subprocess.PIPE,
        )
        os.close(writing)
        try:
            async with asyncio.timeout(30):
                await full.wait()
                asyncio.get_running_loop().remove_reader(reading)
                listing.send_signal(signal.SIGINT)
                _, errors = await listing.communicate()
        finally:
            os.close(reading)
            if listing.returncode is None:
                listing.kill()
                await listing.wait()
    assert (listing.returncode, errors) == (128 + signal.SIGINT, b"")


@pytest.mark.parametrize(
    ("arguments", "out", "err"),
    [
        (
            ["cancel", "--all", "--status", "running"],
            b"cancelled 2 jobs\n",
            b"hodei: interrupted; the request that was",
        ),
        (["delete", "--all", "--status", "failed", "--json"], b'{"matched":2,"done":2,', b"hodei: interrupted; "),
        (["prune", "--older-than", "1d"], b"deleted 2 jobs\n", b""),
    ],
)
async def test_an_interrupt_does_not_hide_what_was_done_before_it(arguments: list[str], out: bytes, err: bytes) -> None:
    """The first request changes two jobs, the second one is not answered."""
    requests, waits = 0, asyncio.Event()

    async def change(request: web.Request) -> web.Response:
        nonlocal requests
        requests += 1
        if requests == 2:
            waits.set()
            await asyncio.sleep(30)
        many = {"matched": 2, "done": 2, "refused": [], "more": True, "cursor": "c1", "ids": []}
        return web.json_response({"deleted": 2, "more": True} if request.method == "DELETE" else many)

    app = web.Application()
    app.router.add_post("/api/v1/jobs/{verb}", change)
    app.router.add_delete("/api/v1/jobs", change)
    async with TestServer(app) as server:
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hodei", *arguments),
            env={**os.environ, "HODEI_ORCHESTRATOR_URL": str(server.make_url("/"))},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(30):
                await waits.wait()
                command.send_signal(signal.SIGINT)
                said, told = await command.communicate()
        finally:
            if command.returncode is None:
                command.kill()
                await command.wait()
    assert (command.returncode, said[: len(out)], told[: len(err)]) == (130, out, err)
    assert bool(told) == bool(err)


def test_the_console_script_is_the_one_that_takes_interrupts() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"hodei": "hodei.__main__:main"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_a_signal_stops_before_it_is_up_says_so(tmp_path: Path, number: signal.Signals) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "hodei", "demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert demo.stdout is not None
        assert demo.stdout.readline().startswith("hodei: starting PostgreSQL and NATS")
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=60)
    finally:
        demo.kill()
        demo.wait()
    assert (demo.returncode, errors) == (128 + number, "")
    assert list(tmp_path.iterdir()) == []
