"""The scheduler's metrics. Gauges of queue and workers are read from the leader's desk at each scrape. On a standby
they are zero, so that the sum over replicas is the leader's value.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from scheduler.domain.desk import Desk
from scheduler.domain.model import Task
from schemas.specs import PRIORITY_RANK
from schemas.states import WorkerStatus
from shared.clock import now
from shared.telemetry import Metrics

_QUICK: Final = (0.00001, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0)
_WAITS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0)
"""Buckets in seconds: from milliseconds on an idle platform to half an hour in the queue."""


_LATENESS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 600.0, 3600.0, 86_400.0)
"""Buckets in seconds: from the loop's own delay to an outage of a day."""
TOO_LATE: Final = 5.0
"""Seconds after which a firing counts as late."""


class Counters:
    """The scheduler's metrics; `watch` sets the current desk."""

    def __init__(self, metrics: Metrics) -> None:
        self._desk: Desk | None = None
        self._seen = (0, 0)
        self.placements = metrics.counter("scheduler_placements_total", "Tasks placed on a worker.")
        self.placement_seconds = metrics.histogram(
            "scheduler_placement_seconds", "Time to compute one plan of placements, in seconds.", buckets=_QUICK
        )
        waits = metrics.batch_histogram(
            "scheduler_queue_wait_seconds",
            "Time from a task becoming ready to its placement on a worker, in seconds, by priority.",
            "priority",
            buckets=_WAITS,
        )
        self._waits = {rank: waits.series(name) for name, rank in PRIORITY_RANK.items()}
        self._leases = metrics.counter("scheduler_lease_losses_total", "Workers whose lease ran out.")
        self.deaf_seconds = metrics.counter(
            "scheduler_deaf_seconds_total",
            "Seconds in which the scheduler could not receive heartbeats; leases do not count them.",
        )
        self._stale = metrics.counter("stale_reports_total", "Reports that arrived too late to change anything.")
        self.agents_refused = metrics.counter(
            "agent_messages_refused_total",
            "Heartbeats and offers that were rejected: unreadable, not storable, or with more ids than an agent sends.",
        )
        self.workers_forgotten = metrics.counter(
            "scheduler_workers_forgotten_total", "Workers that were removed because they had been offline for too long."
        )
        self._fired = metrics.counter(
            "scheduler_schedules_fired_total", "Firings of schedules; those that were requested are not counted."
        )
        self._lateness = metrics.histogram(
            "scheduler_firing_lateness_seconds",
            "Time from when a schedule should have fired to when it did, in seconds.",
            buckets=_LATENESS,
        )
        self._late = metrics.counter(
            "scheduler_firings_late_total", f"Firings of schedules that were more than {TOO_LATE:g} seconds late."
        )
        self._missed = metrics.counter(
            "scheduler_firings_missed_total", "Due times of schedules that passed without a firing."
        )
        self.firings_waiting = metrics.gauge(
            "scheduler_firings_waiting", "Firings with which schedules have yet to catch up."
        )
        self._depth = metrics.gauge(
            "scheduler_queue_depth", "Tasks that are ready and wait for a worker, by priority.", ("priority",)
        )
        self._oldest = metrics.gauge(
            "scheduler_queue_oldest_seconds",
            "Time that the oldest ready task has waited, in seconds, by priority.",
            ("priority",),
        )
        self._delayed = metrics.gauge("scheduler_queue_delayed", "Tasks that are not due yet.")
        self._reserved = metrics.gauge(
            "scheduler_workers_reserved",
            "Workers that are reserved for a task which needs more resources than are free.",
        )
        self._workers = metrics.gauge("scheduler_workers", "Workers with an agent, by status.", ("status",))
        self._slots = metrics.gauge("scheduler_slots", "Slots of workers that are not offline.")
        self._free = metrics.gauge("scheduler_slots_free", "Free slots of online workers.")
        self._busy = metrics.gauge("scheduler_slots_busy", "Executions placed, prefetched ones included.")
        metrics.before_scrape("desk", self._measure)

    def watch(self, desk: Desk | None) -> None:
        """Set the desk after a turn; None when this process does not lead any more."""
        if desk is not self._desk:
            self._desk, self._seen = desk, (0, 0)
        if desk is not None and self._seen != (desk.totals.leases_lost, desk.totals.stale):
            leases, stale = self._seen
            self._leases.inc(desk.totals.leases_lost - leases)
            self._stale.inc(desk.totals.stale - stale)
            self._seen = (desk.totals.leases_lost, desk.totals.stale)

    def fired(self, lateness: Iterable[timedelta], *, missed: int, waiting: int) -> None:
        """Count firings by how late they were, and what a transaction missed and has left."""
        for late in lateness:
            seconds = late.total_seconds()
            self._fired.inc()
            self._lateness.observe(seconds)
            self._late.inc(seconds > TOO_LATE)
        self._missed.inc(missed)
        self.firings_waiting.set(waiting)

    def placed(self, tasks: Iterable[Task], moment: datetime) -> None:
        """Count tasks that a committed turn placed at `moment`."""
        count = 0
        for count, task in enumerate(tasks, 1):  # noqa: B007  # counted on the way
            self._waits[task.priority].observe((moment - task.ready_at).total_seconds())
        self.placements.inc(count)

    async def _measure(self) -> None:
        """Read all gauges from the desk, once per scrape."""
        desk = self._desk
        moment = now()
        depths = desk.queue.depths() if desk else {}
        for name, rank in PRIORITY_RANK.items():
            count, since = depths.get(rank, (0, moment))
            self._depth.labels(name).set(count)
            self._oldest.labels(name).set(max(0.0, (moment - since).total_seconds()))
        self._delayed.set(len(desk.queue) - sum(count for count, _ in depths.values()) if desk else 0)
        fleet = list(desk.roster) if desk else []
        statuses = Counter(worker.status for worker in fleet)
        for status in WorkerStatus:
            self._workers.labels(status.value).set(statuses[status])
        self._reserved.set(sum(worker.reservation is not None for worker in fleet))
        self._slots.set(sum(worker.slots for worker in fleet if worker.online))
        self._busy.set(sum(worker.busy for worker in fleet))
        self._free.set(
            sum(max(0, worker.slots - worker.busy) for worker in fleet if worker.status is WorkerStatus.ONLINE)
        )
