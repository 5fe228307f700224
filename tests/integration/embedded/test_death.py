"""Killed with -9, at whatever moment, we leave no server behind, and can start again at once."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from hodei.embedded.nats import EmbeddedNats
from hodei.embedded.postgres import EmbeddedPostgres
from tests.fixtures.processes import descendants, gone, with_open_files_under

PARENT = """
import asyncio, os, pathlib, sys, threading
from hodei.embedded.nats import EmbeddedNats
from hodei.embedded.postgres import EmbeddedPostgres

async def main():
    folder = pathlib.Path(sys.argv[1])
    print("starting", flush=True)
    async with EmbeddedPostgres(folder / "postgres"), EmbeddedNats(folder / "nats"):
        print("started", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("moment", ["starting", "started"])
async def test_death_by_kill_leaves_nothing(tmp_path: Path, moment: str) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", PARENT, str(tmp_path)),
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": "."},
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    async with asyncio.timeout(30):
        while (await parent.stdout.readline()).decode().strip() != moment:
            pass
    if moment == "starting":  # initdb is at work
        # Another process makes the file: there is no event to wait for.
        while not (tmp_path / "postgres" / "cluster.new" / "PG_VERSION").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    children = descendants(parent.pid)
    assert children

    parent.kill()
    await parent.wait()

    for pid in children:
        assert await gone(pid)
    assert with_open_files_under(tmp_path) == []
    async with EmbeddedPostgres(tmp_path / "postgres", fsync=False), EmbeddedNats(tmp_path / "nats"):
        pass
