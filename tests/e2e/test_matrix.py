"""A matrix of real processes, and how the command line shows its tasks."""

from __future__ import annotations

import asyncio
import os
import sys

from hodei.client import Client
from tests.e2e.framework import assertions as expect
from tests.e2e.framework.platform import Platform

PIPELINE = {
    "name": "matrix",
    "steps": [
        {
            "name": "test",
            "command": 'echo "$HODEI_MATRIX_PYTHON on $HODEI_MATRIX_OS"; test "$HODEI_MATRIX_OS" != alpine',
            "matrix": {"python": ["3.11", "3.12"], "os": ["debian", "alpine"], "fail_fast": False},
        },
        {"name": "after", "command": "echo after", "depends_on": ["test"], "when": "always"},
    ],
}


async def hodei(platform: Platform, *arguments: str) -> str:
    urls = {f"HODEI_{name.upper()}_URL": url for name, url in platform.urls.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hodei", *arguments, env=os.environ | urls, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    return out.decode()


async def test_each_combination_runs_and_is_named(client: Client, platform: Platform) -> None:
    job = await client.submit({"pipeline": PIPELINE})

    done = await expect.fails(client, job.id)

    assert [(task.name, task.index, task.matrix, task.status.value) for task in done.tasks] == [
        ("test", 0, {"python": "3.11", "os": "debian"}, "succeeded"),
        ("test", 1, {"python": "3.11", "os": "alpine"}, "failed"),
        ("test", 2, {"python": "3.12", "os": "debian"}, "succeeded"),
        ("test", 3, {"python": "3.12", "os": "alpine"}, "failed"),
        ("after", None, None, "succeeded"),
    ]
    lines = await expect.output(client, job.id)
    assert sorted(lines[:-1]) == ["3.11 on alpine", "3.11 on debian", "3.12 on alpine", "3.12 on debian"]
    assert lines[-1] == "after"
    table = (await hodei(platform, "show", job.id)).splitlines()
    first = next(number for number, line in enumerate(table) if line.startswith("STEP"))
    assert table[first + 1].split("  ")[0] == "test"
    assert "2 succeeded, 2 failed" in table[first + 1]
    assert [line.strip().partition(")")[0] for line in table[first + 2 : first + 6]] == [
        "test (3.11, debian",
        "test (3.11, alpine",
        "test (3.12, debian",
        "test (3.12, alpine",
    ]
    assert "test (3.12, alpine): exit_code 1" in table
    assert sum("test runs:" in line for line in table) == 1
    followed = await hodei(platform, "logs", "-f", job.id)
    assert "test (3.11, debian) | 3.11 on debian" in followed
    assert "test (3.12, debian) | 3.12 on debian" in followed
    explained = (await hodei(platform, "explain", job.id)).splitlines()
    assert explained[1].startswith("test (3.11, debian): does not wait: it succeeded")
