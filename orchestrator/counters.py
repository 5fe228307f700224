"""The orchestrator's metrics of approvals, read from the tables at each scrape."""

from orchestrator.store.jobs import JobStore
from shared.clock import now
from shared.telemetry import Metrics


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
