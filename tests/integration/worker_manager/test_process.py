"""`python -m worker_manager` as a process of its own: its documents, its port, and what survives it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openapi_spec_validator import validate

from hodei.embedded.ports import free_port
from tests.fixtures.processes import gone
from tests.integration.worker_manager.conftest import DEADLINE, Platform, Running

Spawn = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def spawn(nats_url: str, namespace: str, database_url: str, platform: Platform, tmp_path: Path) -> Iterator[Spawn]:
    """Starts the service's process on a port; it is killed with the test."""
    environment = {
        "PATH": os.environ["PATH"],
        "NATS_URL": nats_url,
        "DATABASE_URL": database_url,
        "HODEI_NAMESPACE": namespace,
        "HODEI_DATA_DIR": str(tmp_path),
    }
    processes: list[subprocess.Popen[bytes]] = []

    def spawn(port: int, **more: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker_manager"],
            env={**environment, "WORKER_MANAGER_PORT": str(port), **more.pop("environment", {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            **more,
        )
        processes.append(process)
        return process

    yield spawn
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def ready(http: aiohttp.ClientSession, port: int) -> None:
    """Wait until the port answers."""
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                async with http.get(f"http://127.0.0.1:{port}/health") as answer:
                    assert await answer.json() == {
                        "status": "healthy",
                        "service": "worker_manager",
                        "version": (await _json(http, port, "/openapi.json"))["info"]["version"],
                        "checks": {"database": "up", "nats": "up"},
                        "access": "off",
                    }
                    return
            except aiohttp.ClientConnectionError:
                # Another process opens the port: there is no event to wait for.
                await asyncio.sleep(0.02)


async def _json(http: aiohttp.ClientSession, port: int, path: str, method: str = "GET", **options: Any) -> Any:
    async with http.request(method, f"http://127.0.0.1:{port}{path}", **options) as answer:
        assert answer.status < 300, await answer.text()
        return await answer.json()


async def test_its_openapi_document_is_valid_and_has_every_route(manager: Running) -> None:
    document = await manager.document()

    validate(document)
    assert set(document["paths"]) >= {
        "/api/v1/workers",
        "/api/v1/workers/{id}",
        "/api/v1/workers/{id}/status",
        "/api/v1/execute",
        "/api/v1/executions",
        "/api/v1/executions/{id}",
        "/api/v1/executions/{id}/logs",
    }


async def test_workers_survive_its_death_and_are_found_again(spawn: Spawn, http: aiohttp.ClientSession) -> None:
    port = free_port("127.0.0.1")
    first = spawn(port)
    await ready(http, port)
    worker = await _json(http, port, "/api/v1/workers", "POST", json={})

    first.kill()
    assert await gone(first.pid)
    os.kill(worker["pid"], 0)

    second = spawn(port)
    await ready(http, port)
    assert (await _json(http, port, f"/api/v1/workers/{worker['id']}"))["status"] == "running"
    state = await _json(http, port, f"/api/v1/workers/{worker['id']}?force=true", "DELETE")
    assert state["status"] == "stopped"
    assert await gone(worker["pid"])

    second.send_signal(signal.SIGTERM)
    assert await gone(second.pid)
    assert second.wait() == 0


async def test_workers_end_with_the_platform(spawn: Spawn, http: aiohttp.ClientSession) -> None:
    port = free_port("127.0.0.1")
    read_end, write_end = os.pipe()
    service = spawn(port, environment={"HODEI_LIFELINE_FD": str(read_end)}, pass_fds=(read_end,))
    os.close(read_end)
    await ready(http, port)
    worker = await _json(http, port, "/api/v1/workers", "POST", json={})

    os.close(write_end)

    assert await gone(worker["pid"])
    assert await gone(service.pid)


async def test_a_taken_port_is_one_clear_line(spawn: Spawn, http: aiohttp.ClientSession) -> None:
    port = free_port("127.0.0.1")
    spawn(port)
    await ready(http, port)

    second = spawn(port)
    _, said = await asyncio.to_thread(second.communicate, timeout=DEADLINE)

    assert second.returncode == 2
    assert said.decode().splitlines()[-1].endswith(f"cannot listen on 127.0.0.1:{port}: the port is already taken")
