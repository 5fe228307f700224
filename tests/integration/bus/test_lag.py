"""How far a consumer is behind is what the server says, and nothing while there is no server."""

from collections.abc import Awaitable, Callable

from schemas.subjects import ORCHESTRATOR_REQUESTS
from shared.bus import Bus
from shared.telemetry import Metrics
from tests.fixtures.servers import NatsServer

PENDING = "hodei_bus_consumer_pending_messages"


async def test_the_backlog_of_a_consumer_and_the_size_of_the_streams(
    own_nats: Callable[[], Awaitable[NatsServer]],
) -> None:
    server = await own_nats()
    metrics = Metrics(refresh_gap=0)
    bus = Bus(server.url, name="orchestrator", start_deadline=10, metrics=metrics)
    durable = ORCHESTRATOR_REQUESTS.durable
    await bus.start()
    try:
        await metrics.refresh()
        assert metrics.value("hodei_scrape_refresh_failures_total", source="jetstream") == 1, "no streams yet"

        await bus.declare()
        for number in range(3):
            await bus.publish(bus.catalogue.event("schedules.fired"), b"[]", msg_id=f"m{number}")
        await metrics.refresh()

        assert metrics.registry.get_sample_value(PENDING, {"consumer": durable}) == 3
        unacknowledged = "hodei_bus_consumer_unacknowledged_messages"
        assert metrics.registry.get_sample_value(unacknowledged, {"consumer": durable}) == 0
        assert metrics.value("hodei_bus_stream_messages", stream="events") == 3
        assert metrics.value("hodei_bus_stream_bytes", stream="events") > 0
        assert metrics.registry.get_sample_value(PENDING, {"consumer": "feed"}) is None, "it does not run"

        await server.stop()
        await metrics.refresh()
        assert metrics.registry.get_sample_value(PENDING, {"consumer": durable}) is None, "gone rather than old"
    finally:
        await bus.stop()
