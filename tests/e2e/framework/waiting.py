"""Waiting for what happens: on the platform's own feed, or, where nothing is announced, by asking again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import nats
import psutil

from hodei.client import Client, ClientError
from tests.e2e.framework.platform import Platform

T = TypeVar("T")


class Feed:
    """Events of the feed, in the order in which they came."""

    def __init__(self, queue: asyncio.Queue[dict[str, Any]]) -> None:
        self._queue = queue

    async def next(self, where: Callable[[dict[str, Any]], bool] = lambda _: True, *, within: float = 20) -> Any:
        """The `data` of the next event that fits; raises TimeoutError."""
        async with asyncio.timeout(within):
            while True:
                event = await self._queue.get()
                if where(event["data"]):
                    return event["data"]


@asynccontextmanager
async def feed(platform: Platform, subject: str) -> AsyncIterator[Feed]:
    """Subscribe to `<namespace>.feed.<subject>`, as a person would with `nats sub`."""
    assert platform.nats_url is not None, "name the bus with TEST_NATS_URL"
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    connection = await nats.connect(platform.nats_url, **platform.reading)
    try:

        async def keep(message: Any) -> None:
            queue.put_nowait(json.loads(message.data))

        await connection.subscribe(f"{platform.namespace}.feed.{subject}", cb=keep)
        await connection.flush()
        yield Feed(queue)
    finally:
        await connection.close()


async def eventually(ask: Callable[[], Awaitable[T | None]], *, within: float = 20) -> T:
    """Ask until there is an answer, for what is visible only over REST and announced nowhere. Raises TimeoutError."""
    async with asyncio.timeout(within):
        # Another process (a service that starts, Prometheus) comes to it by itself: there is no event to wait for.
        while (answer := await ask()) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return answer


async def healthy(client: Client, *, within: float = 60) -> None:
    """Wait until all three services are up again."""

    async def ask() -> bool | None:
        try:
            return {health.status for health in (await client.health()).values()} == {"healthy"} or None
        except ClientError:
            return None

    await eventually(ask, within=within)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has buried yet has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
