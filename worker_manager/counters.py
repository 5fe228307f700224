"""The worker manager's own metrics, beside those of the bus, the outbox and the web in every service."""

from collections.abc import Iterable
from typing import Final

from schemas.states import EXECUTION
from shared.telemetry import Metrics

_RUNS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 21600.0)
"""From a command that does nothing to one that takes six hours, in seconds."""


class Counters:
    """This service's own metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self.workers = metrics.gauge("workers", "Worker processes that have not ended, by status.", ["status"])
        starts = metrics.counter("worker_starts_total", "Workers started, by result.", ["result"])
        self.worker_started, self.worker_not_started = starts.labels("running"), starts.labels("failed")
        self.worker_forgotten = metrics.counter(
            "workers_forgotten_total", "Workers that were removed because they had ended long ago."
        )
        executions = metrics.counter("executions_total", "Executions that ended, by outcome.", ["outcome"])
        self._outcomes = {status.value: executions.labels(status.value) for status in EXECUTION.final}
        run_seconds = metrics.batch_histogram(
            "execution_run_seconds",
            "Time from an execution's start to its end on its worker, in seconds, by outcome.",
            "outcome",
            buckets=_RUNS,
        )
        self._run_seconds = {status.value: run_seconds.series(status.value) for status in EXECUTION.final}
        self.dispatched = metrics.counter("dispatched_total", "Executions sent to a worker.")
        self.dispatches = metrics.counter(
            "dispatch_messages_total", "Messages in which executions were sent to workers."
        )
        self.redelivered = metrics.counter(
            "redelivered_total", "Executions sent again because their worker had not reported them."
        )
        self.agents_refused = metrics.counter(
            "agent_messages_refused_total",
            "Heartbeats and offers that were rejected: unreadable, not storable, or with more ids than an agent sends.",
        )
        self.stale = metrics.counter("stale_reports_total", "Reports that arrived too late to change anything.")

    def came_to(self, changed: Iterable[tuple[str, float | None]]) -> None:
        """Count executions that entered these statuses. The seconds are how long each ran, where that is known."""
        for status, seconds in changed:
            outcome = self._outcomes.get(status)
            if outcome is None:
                continue  # it is not over
            outcome.inc()
            if seconds is not None:
                self._run_seconds[status].observe(seconds)


class EnrolmentCounters:
    """The metrics of credentials for the bus."""

    def __init__(self, metrics: Metrics) -> None:
        enrolments = metrics.counter(
            "enrolments_total", "Workers that got credentials for NATS, by kind: first ones or renewed.", ["kind"]
        )
        self.enrolled, self.renewed = enrolments.labels("first"), enrolments.labels("renewed")
        self.enrolments_refused = metrics.counter(
            "enrolments_refused_total", "Workers that asked for credentials and got none, by reason.", ["reason"]
        )
        self.enrolled_workers = metrics.gauge("enrolled_workers", "Workers whose credentials are valid.")
        self.credentials_expiring = metrics.gauge(
            "credentials_expiring",
            "Workers whose credentials expire within six hours: they are off, or cannot renew them.",
        )
        self.revoked_keys = metrics.gauge("revoked_keys", "Keys that NATS is told to refuse.")
