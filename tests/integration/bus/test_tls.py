"""The bus over TLS, to a server whose certificate our own authority signed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schemas.cloudevents import CloudEvent, decode_batch
from schemas.events import EventData
from shared.bus import Bus
from shared.errors import ConfigError, Unavailable
from tests.fixtures.events import SPEC, number, numbered, publish
from tests.fixtures.tls import TlsNats, certificates


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("keys"))


@pytest.fixture
async def server(keys: Path, tmp_path: Path) -> AsyncIterator[TlsNats]:
    async with TlsNats(tmp_path / "nats", keys=keys) as server:
        yield server


def bus_to(url: str, ca: Path | None, *, start_deadline: float = 10) -> Bus:
    return Bus(url, name="scheduler", namespace="hodei", start_deadline=start_deadline, ca=ca)


@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_events_travel_over_tls_also_after_a_restart_of_the_server(
    server: TlsNats, keys: Path, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    bus = bus_to(server.url.replace("nats://", f"{scheme}://"), keys / "ca.crt")
    handled: asyncio.Queue[int] = asyncio.Queue()

    async def handle(events: list[CloudEvent[EventData]]) -> None:
        for event in events:
            handled.put_nowait(number(event))

    await bus.start()
    await bus.declare()
    consumer = bus.consumer_of(SPEC, handle, decode=decode_batch)
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            await publish(bus, numbered(1))
            assert await handled.get() == 0
            back = asyncio.Event()
            bus.on_change(lambda connected: back.set() if connected else None)
            await server.restart()
            await back.wait()
            await publish(bus, numbered(1, start=1))
            assert await handled.get() == 1
    finally:
        await consumer.stop()
        await bus.stop()
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


async def test_a_server_of_another_authority_is_refused_with_the_reason(server: TlsNats, tmp_path: Path) -> None:
    other = certificates(tmp_path / "other")

    for ca in (other / "ca.crt", None):
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await bus_to(server.url, ca, start_deadline=0.5).start()


async def test_a_server_without_tls_is_refused(nats_url: str, keys: Path) -> None:
    with pytest.raises(Unavailable, match="secure connection not available"):
        await bus_to(nats_url, keys / "ca.crt", start_deadline=0.5).start()


async def test_an_authority_that_cannot_be_read_is_one_clear_line(keys: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.crt"
    empty.touch()
    for ca, why in (
        (tmp_path / "none.crt", "No such file or directory"),
        (empty, "should be certificates in PEM format"),
        (keys / "ca.key", "should be certificates in PEM format"),
    ):
        with pytest.raises(ConfigError) as caught:
            await bus_to("nats://127.0.0.1:1", ca).start()
        assert str(caught.value) == f"HODEI_NATS_CA={ca}: {why}"
