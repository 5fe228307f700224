"""The metrics of a connection pool: connections in use, callers that wait for one, and how long they waited.

Only `asked` is counted on the hot path: the callers that hold or want a connection. The gauges are computed from it at
each scrape, and a clock is read only if all connections are in use.
"""

from shared.telemetry import Metrics


class PoolMetrics:
    """The metrics of one pool of at most `limit` connections."""

    def __init__(self, metrics: Metrics, *, limit: int) -> None:
        self.limit = limit
        self.asked = 0
        metrics.gauge("database_pool_limit", "Connections that the pool may have.").set(limit)
        used = metrics.gauge("database_pool_in_use", "Connections of the pool that are in use.")
        used.set_function(lambda: min(self.asked, limit))
        waiting = metrics.gauge("database_pool_waiters", "Who waits for a connection, because all are in use.")
        waiting.set_function(lambda: max(0, self.asked - limit))
        self.wait_seconds = metrics.batch_histogram(
            "database_pool_wait_seconds",
            "How long a connection was waited for, in seconds; who found a free one is not counted.",
        )
        self.failures = metrics.counter(
            "database_pool_failures_total", "Connections that could not be had: all in use for too long, or no server."
        )
