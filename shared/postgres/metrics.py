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
        metrics.gauge("database_pool_limit", "The most connections that the pool opens.").set(limit)
        used = metrics.gauge("database_pool_in_use", "Connections of the pool that are in use.")
        used.set_function(lambda: min(self.asked, limit))
        waiting = metrics.gauge(
            "database_pool_waiters", "Tasks of the process that wait for a connection because all are in use."
        )
        waiting.set_function(lambda: max(0, self.asked - limit))
        self.wait_seconds = metrics.batch_histogram(
            "database_pool_wait_seconds",
            "Time spent waiting for a connection, in seconds; a free connection counts no wait.",
        )
        self.failures = metrics.counter(
            "database_pool_failures_total",
            "Failures to get a connection: all were in use for too long, or the server was unavailable.",
        )
