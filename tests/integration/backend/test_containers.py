"""The containers behind TEST_BACKEND=testcontainers: which they are, who reaches them, and that they go."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import docker
import pytest
import yaml

from tests.fixtures.processes import gone
from tests.fixtures.servers import CONTAINERS, Backend, NatsServer, PostgresServer

ROOT = Path(__file__).parents[3]

RUN = """\
import asyncio, sys
from pathlib import Path
from tests.fixtures.containers import LABEL
from tests.fixtures.servers import backend

with backend() as containers:
    asyncio.run(containers.nats(Path()).start())
    print(LABEL, containers._reaper.pid, flush=True)
    sys.stdin.read()
    sys.exit(1)
"""


@pytest.fixture
def engine(backend: Backend) -> Iterator[docker.DockerClient]:
    if backend.name != CONTAINERS:
        pytest.skip(f"about containers: TEST_BACKEND={CONTAINERS}")
    client = docker.from_env()
    yield client
    client.close()


@pytest.mark.smoke
def test_they_are_composes_images_and_published_on_loopback_alone(
    engine: docker.DockerClient, nats_server: NatsServer, postgres_server: PostgresServer
) -> None:
    from tests.fixtures.containers import LABEL

    services = yaml.safe_load((ROOT / "compose" / "services.yml").read_text())["services"]
    ours = engine.containers.list(filters={"label": LABEL})

    images = {container.attrs["Config"]["Image"] for container in ours}
    published = [binding for one in ours for ports in one.ports.values() for binding in ports or ()]
    assert images == {services["nats"]["image"], services["postgres"]["image"]}
    assert {binding["HostIp"] for binding in published} == {"127.0.0.1"}
    for server in (nats_server, postgres_server):
        assert urlsplit(server.url).hostname == "127.0.0.1"


@pytest.mark.parametrize(
    "how", [pytest.param(signal.SIGKILL, marks=pytest.mark.smoke), signal.SIGTERM, signal.SIGINT, None]
)
async def test_none_is_left_however_its_process_ends(engine: docker.DockerClient, how: signal.Signals | None) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RUN), cwd=ROOT, env=os.environ,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            label, reaper = (await process.stdout.readline()).decode().split()
        assert len(engine.containers.list(filters={"label": label})) == 1

        if how is None:
            assert process.stdin is not None
            process.stdin.close()  # it leaves without having removed it
        else:
            process.send_signal(how)

        assert await gone(int(reaper), within=30)
        assert engine.containers.list(all=True, filters={"label": label}) == []
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
