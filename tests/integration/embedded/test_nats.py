"""The embedded NATS: its life, its data."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import nats
import pytest

from hodei.embedded.errors import EmbeddedError
from hodei.embedded.nats import EmbeddedNats
from tests.fixtures.processes import gone

Start = Callable[[], Awaitable[EmbeddedNats]]


async def test_a_restart_in_place_keeps_the_port_and_the_messages(own_nats: Start) -> None:
    server = await own_nats()
    url = server.url
    client = await nats.connect(url)
    await client.jetstream().add_stream(name="kept", subjects=["kept"])
    await client.jetstream().publish("kept", b"1")
    await client.close()

    await server.restart()

    assert server.url == url
    client = await nats.connect(url)
    assert (await client.jetstream().stream_info("kept")).state.messages == 1
    await client.close()


async def test_it_takes_large_messages_and_can_be_watched(own_nats: Start) -> None:
    server = await own_nats()
    client = await nats.connect(server.url)
    assert client.max_payload == 8 * 1024 * 1024
    await client.close()
    async with aiohttp.ClientSession() as session, session.get(f"{server.monitoring_url}/healthz") as answer:
        assert await answer.json() == {"status": "ok"}


async def test_a_second_instance_on_the_same_data_is_refused_in_one_line(own_nats: Start) -> None:
    server = await own_nats()
    with pytest.raises(EmbeddedError, match=r"data in .* are in use by another process$"):
        await EmbeddedNats(server.data_dir, lock_patience=0.05).start()


@pytest.mark.parametrize("name", ["\x07\x7f\t\n\r", "é\u2028", os.fsdecode(b"\xff"), '`"\\$#', "n" * 250], ids=ascii)
async def test_its_data_may_lie_at_any_path(tmp_path: Path, name: str) -> None:
    async with EmbeddedNats(tmp_path / name / "nats") as server:
        client = await nats.connect(server.url)
        await client.jetstream().add_stream(name="kept", subjects=["kept"])
        await client.close()
        assert any((tmp_path / name).rglob("kept"))


async def test_a_taken_port_is_named(own_nats: Start, tmp_path: Path) -> None:
    server = await own_nats()
    with pytest.raises(EmbeddedError, match=str(server.port)):
        await EmbeddedNats(tmp_path / "other", port=server.port).start()


async def test_a_killed_server_is_noticed(own_nats: Start) -> None:
    server = await own_nats()
    os.kill(server.server_pid, 9)
    assert await server.wait() == 128 + 9


async def test_the_server_dies_with_its_keeper(own_nats: Start) -> None:
    server = await own_nats()
    assert server._server is not None
    os.kill(server._server.pid, 9)
    assert await gone(server.server_pid)
