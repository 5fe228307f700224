"""Servers on a disk that was full: they work again, by themselves, once it has room."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import nats
import pytest
from aiohttp import web

from hodei.embedded.errors import EmbeddedError
from hodei.embedded.keeping import heal_nats, keep_server
from hodei.embedded.nats import EmbeddedNats
from hodei.embedded.postgres import EmbeddedPostgres
from tests.fixtures import disks


class Words:
    """What is told to the person at the terminal."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[str] = asyncio.Queue()

    def say(self, line: str) -> None:
        self._lines.put_nowait(line)

    async def heard(self, part: str) -> None:
        async with asyncio.timeout(30):
            while part not in await self._lines.get():
                pass


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def works(attempt: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Try until it works: another process comes back by itself, and tells nobody."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await attempt()
            except (OSError, nats.errors.Error, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(0.05)


async def publish(server: EmbeddedNats) -> None:
    client = await nats.connect(server.url, max_reconnect_attempts=0)
    try:
        await client.jetstream().publish("kept", b"x" * 50_000, timeout=0.5)
    finally:
        await client.close()


async def select(server: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(server.url)
    try:
        assert await connection.fetchval("SELECT n FROM kept") == 7
    finally:
        await connection.close()


async def make_stream(server: EmbeddedNats) -> None:
    client = await nats.connect(server.url)
    await client.jetstream().add_stream(name="kept", subjects=["kept"], max_bytes=1 << 20)
    await client.close()


async def test_a_nats_server_that_keeps_its_write_error_is_restarted_once_there_is_room(tmp_path: Path) -> None:
    words = Words()
    with disks.mounted(tmp_path / "disk", size="20m") as disk:
        async with (
            EmbeddedNats(disk / "nats") as server,
            aiohttp.ClientSession() as session,
            running(keep_server("NATS", server, words.say), heal_nats(server, session, words.say)),
        ):
            await make_stream(server)
            ballast = disks.fill(disk)
            with pytest.raises(nats.errors.TimeoutError):
                await publish(server)
            await words.heard("NATS cannot store messages: JetStream stream")
            ballast.unlink()
            await words.heard("restarting it")
            await works(lambda: publish(server))


async def test_a_nats_server_that_dies_on_a_full_disk_is_started_again_once_there_is_room(tmp_path: Path) -> None:
    words = Words()
    with disks.mounted(tmp_path / "disk", size="20m") as disk:
        async with EmbeddedNats(disk / "nats") as server, running(keep_server("NATS", server, words.say)):
            await make_stream(server)
            ballast = disks.fill(disk)
            os.kill(server.server_pid, signal.SIGKILL)
            await words.heard("NATS cannot be restarted: ")
            ballast.unlink()
            await works(lambda: publish(server))


async def test_nats_is_not_started_on_a_full_disk(tmp_path: Path) -> None:
    with disks.mounted(tmp_path / "disk", size="2m") as disk:
        (disk / "ballast").write_bytes(bytes(3 << 19))
        with pytest.raises(EmbeddedError, match=r"^there is no room for NATS in .*nats$"):
            await EmbeddedNats(disk / "nats").start()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"status": "ok"}, None),
        ({"status": "unavailable", "error": "JetStream not enabled"}, "JetStream not enabled"),
        ({"status": "unavailable", "error": "stream 'a' write error: no space"}, "stream 'a' write error: no space"),
        ({"status": "unavailable", "error": "JetStream is still recovering"}, None),
        ([], None),
    ],
)
async def test_what_keeps_nats_from_storing_is_known(tmp_path: Path, answer: object, problem: str | None) -> None:
    async def healthz(_: web.Request) -> web.Response:
        return web.json_response(answer, status=503)

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        server = EmbeddedNats(tmp_path / "nats", monitoring_port=runner.addresses[0][1])
        async with aiohttp.ClientSession() as session:
            assert await server.problem(session) == problem
    finally:
        await runner.cleanup()


async def fill_the_log(server: EmbeddedPostgres) -> None:
    """Write until the write-ahead log has to begin a file for which there is no room. PostgreSQL may recover from the
    first such failure by itself. Then this writes again."""
    while True:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            connection = await asyncpg.connect(server.url)
            try:
                while True:
                    await connection.execute("SELECT pg_logical_emit_message(true, 'fill', repeat('x', 4000000))")
            finally:
                connection.terminate()
        await asyncio.sleep(0.05)


async def test_a_postgresql_that_ends_on_a_full_disk_is_started_again_once_there_is_room(tmp_path: Path) -> None:
    words = Words()
    with disks.mounted(tmp_path / "disk", size="100m") as disk:
        async with (
            EmbeddedPostgres(disk / "postgres", fsync=False) as server,
            running(keep_server("PostgreSQL", server, words.say)),
        ):
            connection = await asyncpg.connect(server.url)
            await connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
            await connection.execute("CHECKPOINT")
            await connection.close()
            ballast = disks.fill(disk)
            async with running(fill_the_log(server)):
                await words.heard("PostgreSQL ended with exit code")
            ballast.unlink()
            await works(lambda: select(server))
