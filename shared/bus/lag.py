"""Metrics of consumer lag and stream size, read from JetStream at each scrape.

All replicas of a service report the same numbers for a durable consumer that they share, and all services the same for
the streams. So take the maximum over replicas, not the sum. Not here: what a consumer counts while it works
(`shared.bus.metrics`).
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from schemas.subjects import EVENTS, STREAMS, Catalogue, ConsumerSpec, StreamSpec
from shared.bus.connection import Connection
from shared.bus.errors import BusError
from shared.telemetry import Metrics

DEADLINE: Final = 2.0
CONSUMER_NOT_FOUND: Final = 10014
"""JetStream's error code."""


class Lag:
    """Reads the state of one service's durable consumers and of all streams. While NATS is unavailable the metrics have
    no values, rather than old ones."""

    def __init__(self, connection: Connection, catalogue: Catalogue, metrics: Metrics) -> None:
        self._connection = connection
        self._catalogue = catalogue
        self._consumers: dict[str, ConsumerSpec] = {}
        self._pending = metrics.gauge(
            "bus_consumer_pending_messages",
            "Messages in the stream that are not yet delivered to a consumer.",
            ["consumer"],
        )
        self._unacknowledged = metrics.gauge(
            "bus_consumer_unacknowledged_messages",
            "Messages delivered to a consumer and not acknowledged.",
            ["consumer"],
        )
        self._redelivered = metrics.gauge(
            "bus_consumer_redelivered_messages",
            "Unacknowledged messages that were delivered more than once.",
            ["consumer"],
        )
        self._messages = metrics.gauge("bus_stream_messages", "Messages that a stream holds.", ["stream"])
        self._bytes = metrics.gauge("bus_stream_bytes", "Size of a stream on the server, in bytes.", ["stream"])
        self._gauges = (self._pending, self._unacknowledged, self._redelivered, self._messages, self._bytes)
        metrics.before_scrape("jetstream", self.measure)

    def follow(self, specs: Sequence[ConsumerSpec]) -> None:
        """Report the lag of these consumers as well."""
        self._consumers.update({self._catalogue.durable(spec): spec for spec in specs})

    async def measure(self) -> None:
        """Read all states concurrently. Raises BusUnavailable when an answer does not come within DEADLINE, BusError
        for a stream that does not exist."""
        for gauge in self._gauges:
            gauge.clear()
        if not self._connection.connected:
            return
        await asyncio.gather(*map(self._ask_consumer, self._consumers), *map(self._ask_stream, STREAMS))

    async def _ask_consumer(self, durable: str) -> None:
        try:
            told = await self._ask(f"CONSUMER.INFO.{self._catalogue.stream(EVENTS)}.{durable}")
        except BusError as error:
            if error.code != CONSUMER_NOT_FOUND:
                raise
            return  # the consumer is about to be declared (again), so it has no lag yet
        self._pending.labels(durable).set(told["num_pending"])
        self._unacknowledged.labels(durable).set(told["num_ack_pending"])
        self._redelivered.labels(durable).set(told["num_redelivered"])

    async def _ask_stream(self, spec: StreamSpec) -> None:
        state = (await self._ask(f"STREAM.INFO.{self._catalogue.stream(spec)}"))["state"]
        self._messages.labels(spec.name).set(state["messages"])
        self._bytes.labels(spec.name).set(state["bytes"])

    async def _ask(self, operation: str) -> dict[str, Any]:
        return await self._connection.api(operation, {}, deadline=DEADLINE)
