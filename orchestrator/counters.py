"""The orchestrator's metrics of approvals, read from the tables at each scrape, and of failed tasks."""

from collections.abc import Sequence

from orchestrator.store.jobs import JobStore
from schemas.events import TaskFailed, TaskRetrying
from shared.clock import now
from shared.telemetry import Metrics


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
