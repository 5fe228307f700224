"""A whole platform whose data lie below a path that is legal, and hardly more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.framework.config import E2EConfig
from tests.e2e.framework.data import command_job
from tests.e2e.framework.http import checked_client
from tests.e2e.framework.platform import running_platform
from tests.fixtures.servers import Backend

ODD = os.fsdecode(b"\xc3\xa9 a'b\"c\\d$HOME#100%d[/bold]`id`;&|\n\t\x07\xff")
LONG = Path(*["l" * 240] * 5)


async def test_a_platform_runs_on_a_long_path_with_every_odd_character(
    config: E2EConfig, backend: Backend, tmp_path: Path
) -> None:
    if config.external:
        pytest.skip("needs a platform that the tests started themselves")
    folder = tmp_path / ODD / LONG
    async with (
        running_platform(config, folder, backend) as platform,
        checked_client(platform.urls, platform.checks, timeout=config.timeout) as client,
    ):
        job = await client.submit(command_job('test "$PWD" = "$(pwd -P)" && echo "$PWD" > file && cat file'))
        async for line in client.follow_logs(job.id):
            assert line.message.startswith(str(tmp_path))
            break
        done = await client.wait(job.id, timeout=config.timeout)
        assert done.status.value == "succeeded"
    assert (folder / "logs" / "worker_manager.log").exists()
