"""A real NATS server's numbers, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from nats_exporter.app import build
from nats_exporter.settings import NatsExporterSettings
from schemas.subjects import ORCHESTRATOR_REQUESTS
from shared.bus import Bus
from shared.service import start_all, stop_all
from shared.web import WebServer
from tests.e2e.framework.platform import free_ports
from tests.fixtures import promtool
from tests.fixtures.servers import NatsServer

LABELS = ("server", "stream", "consumer", "name")

Scrape = Callable[[], Awaitable[str]]
Opener = Callable[[str], Awaitable[Scrape]]


@pytest.fixture
async def exporter(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opener]:
    """Starts the exporter before these servers and gives the way to read it."""
    started: list[object] = []

    async def start(urls: str) -> Scrape:
        settings = NatsExporterSettings(monitoring_url=urls, port=0)
        services = build(settings)
        await start_all(services, started)  # type: ignore[arg-type]
        server = services[-1]
        assert isinstance(server, WebServer)

        async def scrape() -> str:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{server.port}/metrics") as got,
            ):
                assert got.status == 200
                return await got.text()

        return scrape

    yield start
    await stop_all(started, deadline=10)  # type: ignore[arg-type]


def values(text: str) -> dict[tuple[str, ...], float]:
    """Samples by their name and their labels' values, in the order of LABELS."""
    return {
        (sample.name, *(sample.labels[label] for label in LABELS if label in sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.smoke
async def test_a_servers_numbers_are_told_and_prometheus_can_read_them(
    own_nats: Callable[[], Awaitable[NatsServer]], exporter: Opener
) -> None:
    server = await own_nats()
    bus = Bus(server.url, name="orchestrator", start_deadline=10)
    await bus.start()
    try:
        await bus.declare()
        for number in range(3):
            await bus.publish(bus.catalogue.event("schedules.fired"), b"[]", msg_id=f"m{number}")
        address = server.monitoring_url.removeprefix("http://")
        text = await (await exporter(server.monitoring_url))()
    finally:
        await bus.stop()

    told = values(text)
    assert told["hodei_nats_up", address] == 1
    assert told["hodei_nats_healthy", address] == 1
    assert sum(key[0] == "hodei_nats_info" and key[1:] == (address, "hodei") for key in told) == 1
    assert told["hodei_nats_connections", address] == 1
    assert told["hodei_nats_received_messages_total", address] >= 3
    assert told["hodei_nats_jetstream_storage_limit_bytes", address] > 1 << 30
    assert told["hodei_nats_stream_messages", address, "hodei-events"] == 3
    durable = ORCHESTRATOR_REQUESTS.durable
    assert told["hodei_nats_consumer_pending_messages", address, "hodei-events", durable] == 3
    assert told["hodei_nats_consumer_unacknowledged_messages", address, "hodei-events", durable] == 0
    await promtool.check_metrics(text)


async def test_a_server_that_is_not_there_is_down_and_has_no_other_numbers(
    own_nats: Callable[[], Awaitable[NatsServer]], exporter: Opener
) -> None:
    server = await own_nats()
    [nobody] = free_ports(1)
    there, away = server.monitoring_url.removeprefix("http://"), f"127.0.0.1:{nobody}"

    told = values(await (await exporter(f"{server.monitoring_url}, http://127.0.0.1:{nobody}/"))())

    assert (told["hodei_nats_up", there], told["hodei_nats_up", away]) == (1, 0)
    assert [key for key in told if away in key] == [("hodei_nats_up", away)]


@pytest.mark.parametrize("url", ["nats://127.0.0.1:4222", "127.0.0.1:8222", "http://a:8222,,"])
def test_what_is_no_address_is_refused_by_the_variables_name(url: str) -> None:
    with pytest.raises(ValueError, match=r"HODEI_NATS_MONITORING_URL[\s\S]*should be http://HOST:PORT"):
        NatsExporterSettings(HODEI_NATS_MONITORING_URL=url)  # type: ignore[call-arg]
