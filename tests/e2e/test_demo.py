"""`hodei demo`, whole: a platform of its own, whatever the environment says, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path


async def test_the_demo_takes_nothing_from_the_environment(tmp_path: Path) -> None:
    pipeline = tmp_path / "pipeline.json"
    pipeline.write_text(json.dumps({"name": "one", "steps": [{"name": "only", "command": "echo it ran"}]}))
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        hostile = {
            **dict.fromkeys(("NATS_PORT", "POSTGRES_PORT", "ORCHESTRATOR_PORT", "SCHEDULER_PORT"), taken),
            "NATS_URL": f"nats://127.0.0.1:{taken}",
            "DATABASE_URL": f"postgresql://127.0.0.1:{taken}/hodei",
            "HODEI_DATA_DIR": str(tmp_path / "data"),
            "HODEI_ORCHESTRATOR_URL": f"http://127.0.0.1:{taken}",
            "HODEI_WORKER_LABELS": "no labels",
            "HODEI_UNKNOWN": "1",
            "TMPDIR": str(tmp_path),
        }
        demo = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hodei", "demo", str(pipeline)),
            env={**os.environ, **hostile},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(60):
                out, err = await demo.communicate()
        finally:
            if demo.returncode is None:
                demo.kill()
                await demo.wait()
    assert (demo.returncode, err.decode()) == (0, "")
    assert "only | it ran" in out.decode()
    assert os.listdir(tmp_path) == ["pipeline.json"]


async def test_a_demo_that_is_terminated_stops_its_platform_and_ends_with_143(
    tmp_path: Path,
) -> None:
    pipeline = tmp_path / "pipeline.json"
    pipeline.write_text(json.dumps({"name": "one", "steps": [{"name": "only", "command": "echo begun; sleep 600"}]}))
    demo = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hodei", "demo", str(pipeline)),
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert demo.stdout is not None
    try:
        async with asyncio.timeout(60):
            while b"only | begun" not in await demo.stdout.readline():
                assert not demo.stdout.at_eof()
            demo.terminate()
            _, err = await demo.communicate()
    finally:
        if demo.returncode is None:
            demo.kill()
            await demo.wait()
    assert (demo.returncode, err.decode()) == (128 + signal.SIGTERM, "")
    assert os.listdir(tmp_path) == ["pipeline.json"]
