"""The metrics of the bus. Declared once per process; every consumer shares these metrics under its own label.

`BusMetrics` declares them. `ConsumerMetrics` holds one consumer's metrics with the labels looked up, as a look-up
costs twice as much as an increment. Consumer lag as the server reports it is in `shared.bus.lag`.
"""

from prometheus_client import Counter

from shared.bus.foreign import Foreign
from shared.errors import NotPermitted
from shared.telemetry import SIZES, Metrics


class BusMetrics:
    """The bus's metrics inside one process's registry."""

    def __init__(self, metrics: Metrics) -> None:
        self.foreign = Foreign(metrics)
        self.connected = metrics.gauge("bus_connected", "1 while connected to NATS.")
        self.reconnects = metrics.counter("bus_reconnects_total", "Reconnects to NATS.")
        self.errors = metrics.counter(
            "bus_errors_total", "Errors that the NATS client reported through its error callback.", ["kind"]
        )
        self.errors.labels(NotPermitted.__name__)  # from the start, so that the first one is seen to be new
        self.callback_failures = metrics.counter(
            "bus_callback_failures_total", "Core NATS messages whose callback raised.", ["subject"]
        )
        self.published = metrics.counter("bus_published_total", "Messages acknowledged by a stream.")
        self.publish_failures = metrics.counter(
            "bus_publish_failures_total", "Publishes that no stream acknowledged in time."
        )
        self.publish_seconds = metrics.histogram(
            "bus_publish_seconds", "Time from publish to acknowledgement, in seconds."
        )
        self.events = metrics.counter(
            "bus_events_handled_total", "Events handled, by consumer and type.", ["consumer", "type"]
        )
        self.delivery_seconds = metrics.histogram(
            "bus_delivery_delay_seconds",
            "Time from the storing of a batch's first message to the handler call, in seconds, by consumer.",
            ["consumer"],
        )
        self.handler_seconds = metrics.histogram(
            "bus_handler_seconds", "Duration of one handler call, in seconds, by consumer.", ["consumer"]
        )
        self.batch_size = metrics.histogram(
            "bus_batch_events", "Events per handler call, by consumer.", ["consumer"], buckets=SIZES
        )
        self.handler_failures = metrics.counter(
            "bus_handler_failures_total", "Handler calls that raised, by consumer.", ["consumer"]
        )
        self.handler_waits = metrics.counter(
            "bus_handler_waits_total",
            "Handler calls delayed because the database or NATS was unavailable.",
            ["consumer"],
        )
        self.redeliveries = metrics.counter(
            "bus_redeliveries_total", "Messages that were redelivered, by consumer.", ["consumer"]
        )
        self.dead_letters = metrics.counter(
            "bus_dead_letters_total", "Events moved to the dead letters, by consumer.", ["consumer"]
        )
        self.pull_renewals = metrics.counter(
            "bus_pull_renewals_total",
            "Pull requests that had to be made again after a fault, by reason.",
            ["consumer", "reason"],
        )
        self.lost_replies = metrics.counter(
            "bus_lost_replies_total",
            "Acknowledgements that could not be sent; their messages are redelivered.",
            ["consumer"],
        )


class ConsumerMetrics:
    """One consumer's metrics. All but the renewals and the events by type exist from the start, as zero."""

    def __init__(self, bus: BusMetrics, durable: str) -> None:
        self._events = bus.events
        self._renewals = bus.pull_renewals
        self.foreign = bus.foreign
        self._durable = durable
        self._by_type: dict[str, Counter] = {}
        self.delivery_seconds = bus.delivery_seconds.labels(durable)
        self.handler_seconds = bus.handler_seconds.labels(durable)
        self.batch_size = bus.batch_size.labels(durable)
        self.handler_failures = bus.handler_failures.labels(durable)
        self.handler_waits = bus.handler_waits.labels(durable)
        self.redeliveries = bus.redeliveries.labels(durable)
        self.dead_letters = bus.dead_letters.labels(durable)
        self.lost_replies = bus.lost_replies.labels(durable)

    def handled(self, event_type: str, count: int) -> None:
        """Count handled events of one type."""
        counter = self._by_type.get(event_type)
        if counter is None:
            counter = self._by_type[event_type] = self._events.labels(self._durable, event_type)
        counter.inc(count)

    def renewed(self, reason: str) -> None:
        """Count a renewed standing pull."""
        self._renewals.labels(self._durable, reason).inc()
