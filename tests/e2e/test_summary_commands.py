"""The commands that the platform was described with, word for word, run by a shell."""

from __future__ import annotations

import asyncio
import json
import re
import shutil

import pytest

from tests.e2e.framework.platform import Platform

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")

CREATE_PIPELINE = """\
curl -X POST http://localhost:8080/api/v1/pipelines \\
  -d '{"name":"test-pipeline","description":"E2E test pipeline"}'
"""
CREATE_JOB = """\
curl -X POST http://localhost:8080/api/v1/jobs \\
  -d '{"pipeline_id":"<pipeline-id>"}'
"""
REGISTER_WORKER = """\
curl -X POST http://localhost:8081/api/v1/workers \\
  -d '{"type":"rust"}'
"""
START_WORKER = """\
curl -X POST http://localhost:8082/api/v1/workers \\
  -d '{"type":"rust"}'
"""
HEALTH = ["curl http://localhost:8080/health", "curl http://localhost:8081/health", "curl http://localhost:8082/health"]
PORTS = {"8080": "orchestrator", "8081": "scheduler", "8082": "worker_manager"}


async def shell(platform: Platform, command: str) -> tuple[int, dict[str, object]]:
    """Run a command with the standard ports replaced by this platform's; its status and JSON answer."""
    command = re.sub(r"http://localhost:(\d+)", lambda found: platform.urls[PORTS[found[1]]], command.strip())
    process = await asyncio.create_subprocess_shell(
        command.replace("curl ", "curl -sS -w '\\n%{http_code}' ", 1), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        out, _ = await process.communicate()
    body, _, status = out.decode().rpartition("\n")
    return int(status), json.loads(body)


@pytest.mark.parametrize("command", HEALTH)
async def test_health(platform: Platform, command: str) -> None:
    status, answer = await shell(platform, command)

    assert (status, answer["status"]) == (200, "healthy")


async def test_a_pipeline_and_a_job_of_it(platform: Platform) -> None:
    status, pipeline = await shell(platform, CREATE_PIPELINE)
    assert (status, pipeline["name"], pipeline["status"]) == (201, "test-pipeline", "active")

    status, job = await shell(platform, CREATE_JOB.replace("<pipeline-id>", str(pipeline["id"])))
    assert (status, job["pipeline_id"]) == (201, pipeline["id"])
    jobs_url = "curl http://localhost:8080/api/v1/jobs"
    assert (await shell(platform, f"{jobs_url}/{job['id']}/status?wait=10"))[1]["status"] == "succeeded"
    assert (await shell(platform, f"{jobs_url}/no-such-job"))[0] == 404


async def test_a_worker_is_registered(platform: Platform) -> None:
    status, worker = await shell(platform, REGISTER_WORKER)

    assert (status, worker["type"], worker["status"]) == (200, "rust", "online")


async def test_a_worker_is_started(platform: Platform) -> None:
    status, worker = await shell(platform, START_WORKER)

    assert (status, worker["type"], worker["status"]) == (200, "rust", "running")
    stop = f"curl -X DELETE http://localhost:8082/api/v1/workers/{worker['id']}?force=true"
    assert (await shell(platform, stop))[0] == 200
