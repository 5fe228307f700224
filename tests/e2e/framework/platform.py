"""A whole platform for the tests: started by `hodei up` on ports of its own, or one that runs already.

Its servers are those that `hodei up` starts, or, with another TEST_BACKEND, that backend's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from schemas.permissions import Permissions
from shared.keys import FEED_CREDENTIALS, ISSUER, NATS, Issuer
from tests.e2e.framework.config import E2EConfig
from tests.e2e.framework.openapi import OpenApiCheck
from tests.fixtures.servers import EMBEDDED, Backend, NatsServer

SERVICES = ("orchestrator", "scheduler", "worker_manager")


@dataclass(frozen=True)
class Platform:
    """Where the services answer, their documents, and, when it is the tests' own, its processes."""

    urls: Mapping[str, str]
    checks: Mapping[str, OpenApiCheck]
    namespace: str
    nats_url: str | None = None
    process: asyncio.subprocess.Process | None = None
    data_dir: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    nats: NatsServer | None = None
    keys: Path | None = None
    """The keys of a platform whose NATS asks for credentials."""
    token: str | None = field(default=None, repr=False)
    """The administrator's token of a platform with access on."""
    said: str = ""
    """What `hodei up` printed until it was ready."""

    @property
    def reading(self) -> dict[str, str]:
        """How a subscriber to the feed connects to NATS, beside its address."""
        return {} if self.keys is None else {"user_credentials": str(self.keys / NATS / FEED_CREDENTIALS)}

    @property
    def meddling(self) -> dict[str, str]:
        """How a test connects to NATS that does what none but the platform may, beside its address."""
        if self.keys is None:
            return {}
        file = self.keys / "tests.creds"
        if not file.exists():
            file.write_text(Issuer(self.keys / ISSUER).credentials("tests", Permissions((">",), (">",))).text())
        return {"user_credentials": str(file)}

    def pids(self, module: str) -> list[int]:
        """The processes of one part (`orchestrator`, `worker_manager.agent`, …) of the tests' own platform."""
        assert self.process is not None, "only for a platform of the tests' own"
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                command = child.cmdline()
                if "-m" in command and command[command.index("-m") + 1] == module:
                    found.append(child.pid)
        return found

    def monitoring_url(self) -> str:
        """Where the NATS server of the tests' own platform tells of itself."""
        if self.nats is not None:
            return self.nats.monitoring_url
        assert self.data_dir is not None, "only for a platform of the tests' own"
        [ports] = self.data_dir.rglob("nats-server_*.ports")
        address: str = json.loads(ports.read_text())["monitoring"][0]
        return address

    async def kill_nats(self) -> None:
        """SIGKILL the NATS server of the tests' own platform; it is started again, by `hodei up` or here."""
        if self.nats is not None:
            await self.nats.kill()
            await self.nats.start()
            return
        assert self.process is not None, "only for a platform of the tests' own"
        for child in psutil.Process(self.process.pid).children():
            if "nats-server" in child.name():
                child.kill()


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody has at this moment, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.asynccontextmanager
async def running_platform(config: E2EConfig, folder: Path, backend: Backend, **extra: str) -> AsyncIterator[Platform]:
    """Yield the platform that `config` names, or start one with its data in `folder` and stop it afterwards.

    `extra` are environment variables for it.
    """
    if config.external:
        ports = [config.orchestrator_port, config.scheduler_port, config.worker_manager_port]
        urls = {name: f"http://{config.host}:{port}" for name, port in zip(SERVICES, ports, strict=True)}
        yield Platform(urls, await _documents(urls), config.namespace, config.nats_url, keys=config.keys)
        return
    async with contextlib.AsyncExitStack() as stack:
        yield await _own(config, folder, backend, extra, stack)


async def _own(
    config: E2EConfig, folder: Path, backend: Backend, extra: Mapping[str, str], stack: contextlib.AsyncExitStack
) -> Platform:
    ports = free_ports(5)
    urls = {name: f"http://127.0.0.1:{port}" for name, port in zip(SERVICES, ports, strict=False)}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HODEI_", "NATS_", "DATABASE_"))},
        **{f"{name.upper()}_PORT": str(port) for name, port in zip(SERVICES, ports, strict=False)},
        "NATS_PORT": str(ports[3]),
        "POSTGRES_PORT": str(ports[4]),
        **extra,
    }
    nats_url, nats = f"nats://127.0.0.1:{ports[3]}", None
    if backend.name != EMBEDDED:
        nats, postgres = backend.nats(folder / "nats"), backend.postgres(folder / "postgres")
        for server in (nats, postgres):
            stack.push_async_callback(server.remove)
            await server.start()
        nats_url = nats.url
        environment |= {"NATS_URL": nats.url, "DATABASE_URL": postgres.url}
    process = await start_up(folder, environment)
    stack.push_async_callback(stop, process)
    said = await ready(process, config.start_timeout)
    keys = folder / "keys" if nats is None else None
    token = (folder / "token").read_text().strip() if extra.get("HODEI_AUTH") == "on" else None
    checks = await _documents(urls, token)
    return Platform(urls, checks, "hodei", nats_url, process, folder, environment, nats, keys, token, said)


async def start_up(folder: Path, environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    """Start `hodei up`; its output is on the process's stdout."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hodei", "up", "--data-dir", str(folder),
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


async def ready(process: asyncio.subprocess.Process, timeout: float) -> str:
    """Read what `hodei up` says until it is ready and return it. Raises AssertionError when it ends instead."""
    assert process.stdout is not None
    said = ""
    async with asyncio.timeout(timeout):
        while "data, logs" not in said:  # the last line of the table of URLs
            line = await process.stdout.readline()
            if not line:
                raise AssertionError(f"hodei up ended with {await process.wait()}:\n{said}")
            said += line.decode()
    return said


async def stop(process: asyncio.subprocess.Process) -> int:
    """SIGTERM, and the exit code; SIGKILL after half a minute."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(30):
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    assert process.returncode is not None
    return process.returncode


async def _documents(urls: Mapping[str, str], token: str | None = None) -> dict[str, OpenApiCheck]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def fetch(url: str) -> OpenApiCheck:
        request = urllib.request.Request(url + "/openapi.json", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return OpenApiCheck(json.load(answer))

    return {name: await asyncio.to_thread(fetch, url) for name, url in urls.items()}
