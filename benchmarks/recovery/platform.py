"""The benchmark's own platform, started as `hodei up` does: its processes can be killed, or its servers be cut off."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import aiohttp
import psutil

from benchmarks.recovery.proxy import Proxy
from hodei.embedded.cluster import DATABASE, ROLE
from hodei.embedded.nats import EmbeddedNats
from hodei.embedded.postgres import EmbeddedPostgres
from hodei.up import Platform, up
from hodei.up_settings import stand_alone

SLOTS = 8


@dataclass(frozen=True)
class Running:
    """A running platform. It has `proxies` if the servers can be cut off; then `hodei up` has not started them."""

    platform: Platform
    session: aiohttp.ClientSession
    folder: Path
    proxies: Mapping[str, Proxy] = field(default_factory=dict)

    @property
    def urls(self) -> Mapping[str, str]:
        return self.platform.urls

    async def pids(self, part: str) -> list[int]:
        """The process ids of a part, the main process first. Raises RuntimeError when there is none."""
        if part == "nats" and self.platform.nats is not None:
            return [self.platform.nats.server_pid]
        if part == "postgres" and self.platform.postgres is not None:
            postmaster = psutil.Process(self.platform.postgres.server_pid)
            return [postmaster.pid, *(child.pid for child in postmaster.children())]
        if part == "worker":
            async with self.session.get(f"{self.urls['worker_manager']}/api/v1/workers?status=running") as answer:
                found = [worker["pid"] for worker in await answer.json()]
        else:
            found = [child.pid for child in psutil.Process().children() if child.cmdline()[-2:] == ["-m", part]]
        if not found:
            raise RuntimeError(f"no {part} runs here")
        return found


@asynccontextmanager
async def running(folder: Path, *, cuttable: bool) -> AsyncIterator[Running]:
    """Start a platform with its data in `folder`, and stop it afterwards. Raises RuntimeError when the start fails."""
    stand_alone(os.environ)
    os.environ["HODEI_WORKER_SLOTS"] = str(SLOTS)
    async with AsyncExitStack() as stack:
        proxies = await _behind_proxies(folder, stack) if cuttable else {}
        ready: asyncio.Future[Platform] = asyncio.get_running_loop().create_future()
        living = asyncio.create_task(up(data_dir=folder / "platform", started=ready.set_result))
        living.add_done_callback(lambda _: ready.cancel())
        await asyncio.wait([ready])
        if ready.cancelled():
            raise RuntimeError("the platform did not start")
        us = asyncio.current_task()
        assert us is not None

        def end(_: asyncio.Task[int]) -> None:  # Ctrl-C goes to `up`
            us.cancel()

        living.add_done_callback(end)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        try:
            yield Running(ready.result(), session, folder, proxies)
        finally:
            living.remove_done_callback(end)
            living.cancel()
            await asyncio.wait([living])


async def _behind_proxies(folder: Path, stack: AsyncExitStack) -> dict[str, Proxy]:
    """Start both servers with a proxy in front of each, and give the proxies' addresses to `hodei up`."""
    nats = await stack.enter_async_context(EmbeddedNats(folder / "nats"))
    postgres = await stack.enter_async_context(EmbeddedPostgres(folder / "postgres", port=5432, may_move=True))
    assert postgres.port is not None
    proxies = {"nats": Proxy(nats.port), "postgres": Proxy(postgres.port)}
    for proxy in proxies.values():
        await proxy.mend()
        stack.push_async_callback(proxy.cut)
    password = quote(postgres.password_file.read_text().strip())
    os.environ["NATS_URL"] = f"nats://127.0.0.1:{proxies['nats'].port}"
    os.environ["DATABASE_URL"] = f"postgresql://{ROLE}:{password}@127.0.0.1:{proxies['postgres'].port}/{DATABASE}"
    return proxies
