"""A whole platform whose disk is full for a while: it says so, loses nothing, and goes on by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import nats
import pytest

from tests.e2e.framework.config import E2EConfig
from tests.e2e.framework.platform import Platform, running_platform
from tests.e2e.framework.waiting import eventually
from tests.fixtures import disks
from tests.fixtures.servers import EMBEDDED, Backend


async def submit(session: aiohttp.ClientSession, platform: Platform) -> str | None:
    """Submit a job: its id, or None where the platform answers that it cannot take one now."""
    url = f"{platform.urls['orchestrator']}/api/v1/jobs"
    async with session.post(url, json={"command": "sleep 0.2; echo done"}) as answer:
        if answer.status == 201:
            return str((await answer.json())["id"])
        assert answer.status == 503, await answer.text()
        assert int(answer.headers["Retry-After"]) >= 1
        return None


async def ended(session: aiohttp.ClientSession, platform: Platform, job: str, *, within: float) -> str:
    """How the job ended. Raises TimeoutError."""
    url = f"{platform.urls['orchestrator']}/api/v1/jobs/{job}/status"

    async def ask() -> str | None:
        async with session.get(url, params={"wait": "10"}) as answer:
            status = (await answer.json()).get("status") if answer.status == 200 else None
        return None if status in ("pending", "running") else status

    return await eventually(ask, within=within)


async def fill_logs(platform: Platform, credentials: Mapping[str, str]) -> None:
    """Publish to the stream of logs until NATS cannot store any more."""
    assert platform.nats_url is not None
    client = await nats.connect(platform.nats_url, **credentials)
    try:
        with pytest.raises(nats.errors.TimeoutError):  # noqa: PT012
            for _ in range(1000):
                await client.jetstream().publish("hodei.logs.ballast", bytes(50_000), timeout=1)
    finally:
        await client.close()


async def heard(process: asyncio.subprocess.Process, part: str) -> None:
    """Wait for a line of `hodei up`."""
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while part not in (await process.stdout.readline()).decode():
            assert process.returncode is None


async def test_a_platform_on_a_full_disk_says_so_and_goes_on_once_there_is_room(
    config: E2EConfig, backend: Backend, tmp_path: Path
) -> None:
    if config.external or backend.name != EMBEDDED:
        pytest.skip("needs embedded servers on a disk of the test's own")
    with disks.mounted(tmp_path / "disk", size="260m") as disk:
        async with (
            running_platform(config, disk / "data", backend) as platform,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
        ):
            assert platform.process is not None
            accepted = [await submit(session, platform) for _ in range(20)]

            meddling = platform.meddling  # a file, so while there is room
            ballast = disks.fill(disk)
            while (job := await submit(session, platform)) is not None:
                accepted.append(job)
                assert len(accepted) < 2000
            async with session.get(f"{platform.urls['orchestrator']}/health") as answer:
                assert (answer.status, (await answer.json())["status"]) == (503, "unhealthy")
            await fill_logs(platform, meddling)
            await heard(platform.process, "NATS cannot store messages")

            ballast.unlink()
            fresh = await eventually(lambda: submit(session, platform), within=10)
            assert await ended(session, platform, fresh, within=30) == "succeeded"
            for job in accepted:
                assert job is not None
                assert await ended(session, platform, job, within=60) == "succeeded"
            assert platform.process.returncode is None
