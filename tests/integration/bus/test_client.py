"""The connection is never there and deaf: what went wrong on it is got over, or it is made anew."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from shared.bus import Bus
from shared.errors import BusUnavailable
from shared.telemetry import Metrics
from tests.fixtures.servers import NatsServer


async def test_a_late_answer_to_a_flush_leaves_the_connection_hearing(
    own_nats: Callable[[], Awaitable[NatsServer]], metrics: Metrics
) -> None:
    server = await own_nats()
    bus = Bus(server.url, name="scheduler", namespace="hodei", start_deadline=10, metrics=metrics)
    await bus.start()
    try:
        await server.freeze()
        await _until_silent(bus)
        flushing = asyncio.create_task(bus.flush())
        await asyncio.sleep(0)
        flushing.cancel()
        await server.thaw()
        await bus.flush()
        await bus.declare()
    finally:
        await bus.stop()
    assert metrics.value("hodei_bus_reconnects_total") == 0


async def test_a_connection_on_which_reading_ended_is_made_anew(
    bus: Bus, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, back = asyncio.Event(), asyncio.Event()
    bus.on_change(lambda connected: (back if connected else away).set())
    with monkeypatch.context() as broken:
        broken.setattr(bus._connection._nc._ps, "parse", _fail)
        with pytest.raises(BusUnavailable):
            await bus._connection.flush(0.1)
        async with asyncio.timeout(10):
            await away.wait()
    async with asyncio.timeout(10):
        await back.wait()
    await bus.flush()


async def _until_silent(bus: Bus) -> None:
    """The server may still answer until the signal has stopped it."""
    with suppress(BusUnavailable):
        for _ in range(100):
            await bus._connection.flush(0.1)
        pytest.fail("the server answers although it is frozen")


async def _fail(data: bytes) -> None:
    raise ValueError("not understood")
