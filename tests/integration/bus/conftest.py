"""A bus in a namespace of the test's own, and events to send through it."""

from collections.abc import AsyncIterator

import pytest

from shared.bus import Bus
from shared.telemetry import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def bus(nats_url: str, namespace: str, metrics: Metrics) -> AsyncIterator[Bus]:
    """A connected bus with all streams declared."""
    bus = Bus(nats_url, name="orchestrator", namespace=namespace, start_deadline=10, metrics=metrics)
    await bus.start()
    await bus.declare()
    yield bus
    await bus.stop()
