"""A bus that takes connections and stores nothing is not healthy, until it stores again."""

from __future__ import annotations

import pytest

from shared.bus import Bus
from shared.errors import BusUnavailable


async def test_a_bus_that_stores_nothing_is_unhealthy_until_it_stores_again(bus: Bus) -> None:
    assert await bus.healthy()

    with pytest.raises(BusUnavailable):  # nothing listens there, as where JetStream is out of order
        await bus.publish(f"{bus.catalogue.namespace}.nowhere", b"[]", msg_id="1", deadline=0.2)
    assert bus.connected
    assert not await bus.healthy()

    await bus.publish(bus.catalogue.event("workers.draining"), b"[]", msg_id="2")
    assert await bus.healthy()
