"""Requests made of the services' own documents: none is answered with a 5xx, and every answer is documented.

A few seconds for each service, always the same requests. No worker is there, so that nothing that is made up is run.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.fixtures.services import running_service

SECONDS = 8
"""For one service; the phase that is under way is cut short."""
LONGEST_WAIT = "70"
"""Seconds for one request: `wait` asks for up to 60, and is made up for jobs that do not end."""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
STARTS_PROCESSES = "start_worker"
NEVER_ENDS = "follow_feed"


@pytest.mark.parametrize("service", ["orchestrator", "scheduler", "worker_manager"])
async def test_made_up_requests_are_answered_as_documented(
    service: str, nats_url: str, migrated_database_url: str, namespace: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        # The others ask the orchestrator about tasks and jobs that they do not know.
        running = [
            await stack.enter_async_context(
                running_service(
                    module,
                    nats_url=nats_url,
                    database_url=migrated_database_url,
                    namespace=namespace,
                    folder=tmp_path / module,
                )
            )
            for module in dict.fromkeys(("orchestrator", service))
        ]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"),
            f"{running[-1].url}/openapi.json",
            *("--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", "10"),
            *("--max-time", str(SECONDS), "--seed", "20261128", "--generation-deterministic"),
            *("--exclude-operation-id", STARTS_PROCESSES, "--exclude-operation-id", NEVER_ENDS, "--no-shrink"),
            *("--request-timeout", LONGEST_WAIT, "--continue-on-failure", "--warnings", "off", "--no-color"),
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if not name.startswith("SCHEMATHESIS")},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(SECONDS + 150):
                out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    assert process.returncode == 0, _errors(tmp_path) + out.decode()[-8000:]
    assert b"Test cases:" in out or b"generated" in out, out.decode()


def _errors(folder: Path) -> str:
    """What the services logged as errors."""
    return "".join(file.read_text()[-3000:] for file in folder.rglob("errors.log"))
