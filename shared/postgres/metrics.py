"""What the pool of connections counts: how many are out, who waits for one, and for how long.

One number is kept on the way, `asked`: who holds a connection or wants one. All else follows from it when somebody
looks; a clock is read only by who finds every connection taken.
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
