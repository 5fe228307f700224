"""What the worker manager counts, beside what the bus, the outbox and the web count for every service."""

from shared.metrics import Metrics


class Counters:
    """This service's own metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self.workers = metrics.gauge("workers", "Worker processes that are not over, by status.", ["status"])
        self.worker_starts = metrics.counter("worker_starts_total", "Workers started, by result.", ["result"])
        self.executions = metrics.counter(
            "executions_total", "Executions recorded as over, by outcome; `running` counts the starts.", ["status"]
        )
        self.dispatched = metrics.counter("dispatched_total", "Executions handed to a worker.")
        self.dispatches = metrics.counter("dispatch_messages_total", "Messages that carried them.")
        self.redelivered = metrics.counter(
            "redelivered_total", "Executions handed over again, because their worker did not speak of them."
        )
        self.stale = metrics.counter(
            "stale_reports_total", "Reports that came late or twice and changed nothing.", ["service"]
        ).labels("worker_manager")
