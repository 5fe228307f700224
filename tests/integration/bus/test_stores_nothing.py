"""A bus that takes connections and stores nothing is not healthy, until it stores again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hodei.embedded.nats import EmbeddedNats
from schemas.subjects import PROBES
from shared.bus import Bus
from shared.bus import bus as bus_module
from shared.errors import BusUnavailable
from tests.fixtures import disks


async def test_a_bus_that_stores_nothing_is_unhealthy_until_it_stores_again(bus: Bus) -> None:
    assert await bus.healthy()

    with pytest.raises(BusUnavailable):  # nothing listens there, as where JetStream is out of order
        await bus.publish(f"{bus.catalogue.namespace}.nowhere", b"[]", msg_id="1", deadline=0.2)
    assert bus.connected
    assert not await bus.healthy()

    await bus.publish(bus.catalogue.event("workers.draining"), b"[]", msg_id="2")
    assert await bus.healthy()


async def test_a_server_that_stores_again_is_found_by_the_next_look(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BusUnavailable):
        await bus.publish(f"{bus.catalogue.namespace}.nowhere", b"[]", msg_id="1", deadline=0.2)
    assert not await bus.healthy()
    monkeypatch.setattr(bus_module, "IDLE_WITH_PROBLEM", 0.0)
    assert await bus.healthy(), "a probe was stored"


async def test_a_service_that_publishes_nothing_learns_of_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with disks.mounted(tmp_path / "disk", size="20m") as disk:
        async with EmbeddedNats(disk / "nats") as server:
            idle = Bus(server.url, name="orchestrator", start_deadline=10)
            await idle.start()
            try:
                await idle.declare()
                assert await idle.healthy()
                disks.fill(disk)
                assert await idle.healthy(), "it has just seen that messages are stored"
                monkeypatch.setattr(bus_module, "IDLE", 0.0)
                assert not await idle.healthy()
                assert idle.connected
            finally:
                await idle.stop()


async def test_a_busy_service_sends_no_probes_and_an_idle_one_leaves_one(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def probes() -> int:
        found = await bus._connection.api(f"STREAM.INFO.{bus.catalogue.stream(PROBES)}", {})
        return int(found["state"]["messages"])

    await bus.publish(bus.catalogue.event("workers.draining"), b"[]", msg_id="1")
    assert await bus.healthy()
    assert await probes() == 0
    monkeypatch.setattr(bus_module, "IDLE", 0.0)
    assert await asyncio.gather(*[bus.healthy() for _ in range(5)]) == [True] * 5
    assert await probes() == 1, "the newest takes the place of the others"
