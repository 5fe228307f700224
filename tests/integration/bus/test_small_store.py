"""A NATS server on a small disk: logs leave room for events, however many they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hodei.embedded.nats import EmbeddedNats
from schemas.subjects import EVENTS
from shared.bus import Bus
from shared.errors import BusUnavailable
from tests.fixtures import disks
from tests.fixtures.events import chunk, numbered, publish, publish_log

MB = 1 << 20


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    """A bus on a server whose disk is 60 MB."""
    with disks.mounted(tmp_path / "disk", size="60m") as disk:
        async with EmbeddedNats(disk / "nats") as server:
            bus = Bus(server.url, name="orchestrator", namespace="small")
            await bus.start()
            yield bus
            await bus.stop()


async def sizes(bus: Bus) -> dict[str, int]:
    """What each stream may take, in MiB."""
    answer = await bus._connection.api("STREAM.LIST", {})
    return {one["config"]["name"]: one["config"]["max_bytes"] // MB for one in answer["streams"]}


async def test_all_streams_are_smaller_in_proportion_where_the_disk_is(bus: Bus) -> None:
    await bus.declare()
    assert await sizes(bus) == {"small-events": 16, "small-logs": 16, "small-dead": 4, "small-probes": 0}
    assert sum((await sizes(bus)).values()) * MB < 60_000_000
    other = Bus(bus._connection._servers[0], name="scheduler", namespace="small")
    await other.start()
    await other.declare()
    await other.stop()
    assert await sizes(bus) == {"small-events": 16, "small-logs": 16, "small-dead": 4, "small-probes": 0}


async def test_logs_that_are_larger_than_the_disk_leave_room_for_events(bus: Bus) -> None:
    await bus.declare()
    line = "x" * 500_000
    for number in range(140):  # 70 MB, as 14 commands of 5 MB each write them
        await publish_log(bus, chunk("0" * 36, number + 1, line))
    await publish(bus, numbered(1))


async def test_a_stream_is_not_made_smaller_than_what_it_holds(bus: Bus) -> None:
    await bus.declare()
    while True:
        await publish(bus, numbered(2000))
        info = await bus._connection.api("STREAM.INFO.small-events", {})
        if info["state"]["bytes"] > 3 * MB:
            break
    assert not await bus._declarations._stream(bus._declarations._stream_config(EVENTS, 4096), update=True)
    assert (await sizes(bus))["small-events"] == 16


async def test_what_no_share_fits_is_told(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.bus.declare.SMALLEST_SHARE", 2)
    with pytest.raises(Exception, match="insufficient storage resources available") as raised:
        await bus.declare()
    assert not isinstance(raised.value, BusUnavailable)


async def test_a_server_that_stores_nothing_makes_the_bus_unhealthy_until_it_stores_again(tmp_path: Path) -> None:
    with disks.mounted(tmp_path / "disk", size="60m") as disk:
        async with EmbeddedNats(disk / "nats") as server:
            bus = Bus(server.url, name="orchestrator", namespace="small")
            await bus.start()
            await bus.declare()
            subject = bus.catalogue.event("jobs.created")
            await bus.publish(subject, b"[]", msg_id="before")
            assert await bus.healthy()

            ballast = disks.fill(disk)
            with pytest.raises(BusUnavailable):  # noqa: PT012
                for number in range(100):  # the pages that NATS has still take a few
                    await bus.publish(subject, b"x" * 10_000, msg_id=f"full-{number}", deadline=2)
            assert bus.connected
            assert not await bus.healthy()

            ballast.unlink()
            back = asyncio.Event()
            bus.on_change(lambda connected: back.set() if connected else None)
            await server.restart()
            async with asyncio.timeout(10):
                await back.wait()
            await bus.publish(subject, b"[]", msg_id="after")
            assert await bus.healthy()
            await bus.stop()
