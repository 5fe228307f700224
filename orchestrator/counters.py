"""The orchestrator's metrics of approvals and concurrency keys, read from the tables at each scrape, and of failed
tasks."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from orchestrator.store.claims import ClaimStore
from orchestrator.store.jobs import JobStore
from schemas.events import TaskFailed, TaskRetrying
from shared.clock import now
from shared.telemetry import Metrics

_WAITS: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
"""Buckets in seconds, up to a day."""


class TaskFailures:
    """Failed tasks and attempts, by reason. The replica that wrote a failure counts it."""

    def __init__(self, metrics: Metrics) -> None:
        self._failed = metrics.counter("tasks_failed_total", "Tasks that failed, by reason.", ["reason"])
        self._retried = metrics.counter(
            "tasks_retried_total",
            "Attempts that failed and are followed by another, by reason; also lost ones, and those that a worker gave "
            "back.",
            ["reason"],
        )

    def count(self, failures: Sequence[TaskFailed | TaskRetrying]) -> None:
        """Count the failures of one commit."""
        for one in failures:
            counter = self._failed if isinstance(one, TaskFailed) else self._retried
            counter.labels(one.reason.value).inc()


class ApprovalMetrics:
    """How many approvals wait for a decision, and for how long. Every replica shows the same values."""

    def __init__(self, metrics: Metrics, jobs: JobStore) -> None:
        self._jobs = jobs
        self._waiting = metrics.gauge("approvals_waiting", "Approvals that wait for a decision.")
        self._oldest = metrics.gauge(
            "approvals_oldest_seconds", "Time that the oldest approval has waited for a decision, in seconds; else 0."
        )
        metrics.before_scrape("approvals", self._refresh)

    async def _refresh(self) -> None:
        count, since = await self._jobs.count_approvals()
        self._waiting.set(count)
        self._oldest.set(0 if since is None else (now() - since).total_seconds())


class ConcurrencyMetrics:
    """How many jobs hold a concurrency key, and how many wait for one, and for how long. Every replica shows the same
    values, but for the waits that are over: a replica observes those that it ended."""

    def __init__(self, metrics: Metrics, claims: ClaimStore) -> None:
        self._claims = claims
        self._holding = metrics.gauge("concurrency_holding", "Jobs that hold a concurrency key.")
        self._waiting = metrics.gauge("concurrency_waiting", "Jobs that wait for a concurrency key.")
        self._oldest = metrics.gauge(
            "concurrency_oldest_seconds",
            "Time that the oldest job has waited for its concurrency key, in seconds, or 0.",
        )
        self._waits = metrics.histogram(
            "concurrency_wait_seconds",
            "Time that jobs waited for their concurrency key before they began, in seconds; only those that waited.",
            buckets=_WAITS,
        )
        metrics.before_scrape("concurrency", self._refresh)

    def admitted(self, waited: timedelta) -> None:
        """Note that a job begins after it has waited this long."""
        self._waits.observe(max(0.0, waited.total_seconds()))

    async def _refresh(self) -> None:
        holding, waiting, since = await self._claims.count()
        self._holding.set(holding)
        self._waiting.set(waiting)
        self._oldest.set(0 if since is None else (now() - since).total_seconds())
