"""A platform that keeps little: jobs go in every service, people hear of it, and what is promised to stay stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from hodei.client import ApiError, Client
from tests.e2e.framework.config import E2EConfig
from tests.e2e.framework.http import checked_client
from tests.e2e.framework.platform import running_platform
from tests.e2e.framework.waiting import eventually, feed
from tests.fixtures.servers import Backend

SETTINGS = {
    "HODEI_RETENTION_JOBS_MAX": "2",
    "HODEI_RETENTION_JOBS_PER_PIPELINE": "1",
    "HODEI_RETENTION_TIMELINES": "1m",  # so that the orchestrator looks every six seconds
}


async def test_old_jobs_go_everywhere_and_the_last_of_a_pipeline_stays(
    config: E2EConfig, tmp_path: Path, backend: Backend
) -> None:
    if config.external:
        pytest.skip("needs a platform with settings of its own")
    async with (
        running_platform(config, tmp_path / "data", backend, **SETTINGS) as platform,
        checked_client(platform.urls, platform.checks, timeout=config.timeout) as client,
        feed(platform, "jobs.*.deleted") as heard,
    ):
        pipeline = await client.create_pipeline({"name": "p", "steps": [{"name": "a", "command": "true"}]})
        of_pipeline = (await client.submit({"pipeline_id": pipeline.id})).id
        singles = [(await client.submit({"command": f"echo {number}"})).id for number in range(4)]
        for job_id in (of_pipeline, *singles):
            await client.wait(job_id, timeout=config.timeout)

        told = [await heard.next(within=60) for _ in range(2)]

        assert {one["job_id"] for one in told} == set(singles[:2])
        assert {one["cause"] for one in told} == {"retention"}
        kept = {of_pipeline, *singles[2:]}
        assert {job.id async for job in client.jobs()} == kept
        with pytest.raises(ApiError, match="there is no job"):
            await client.job(singles[0])
        await eventually(lambda: _only(client, kept), within=30)


async def _only(client: Client, job_ids: set[str]) -> bool | None:
    """Whether the worker manager has executions of these jobs only; None if not, to be asked again."""
    return True if {one.job_id async for one in client.executions()} == job_ids else None
