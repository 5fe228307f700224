"""What the scheduler counts. Queue and fleet are read from the leader's desk when somebody asks."""

from collections.abc import Callable
from typing import Final

from scheduler.domain.desk import Desk
from schemas.specs import PRIORITY_RANK
from schemas.states import WorkerStatus
from shared.clock import now
from shared.metrics import Metrics

_QUICK: Final = (0.00001, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0)


class Counters:
    """The scheduler's metrics; `watch` tells which desk is the current one."""

    def __init__(self, metrics: Metrics) -> None:
        self._desk: Desk | None = None
        self._seen = (0, 0)
        self.placements = metrics.counter("scheduler_placements_total", "Tasks placed on a worker.")
        self.placement_seconds = metrics.histogram(
            "scheduler_placement_seconds", "How long it took to decide one plan.", buckets=_QUICK
        )
        self._leases = metrics.counter("scheduler_lease_losses_total", "Workers whose lease ran out.")
        self._stale = metrics.counter("stale_reports_total", "Reports of attempts that were not current any more.")
        self.schedules_fired = metrics.counter("scheduler_schedules_fired_total", "Schedules that became jobs.")
        depth = metrics.gauge("scheduler_queue_depth", "Tasks that could run and wait for a worker.", ("priority",))
        age = metrics.gauge("scheduler_queue_oldest_seconds", "How long the oldest of them waits.", ("priority",))
        for name, rank in PRIORITY_RANK.items():
            depth.labels(name).set_function(self._depth(rank))
            age.labels(name).set_function(self._age(rank))
        workers = metrics.gauge("scheduler_workers", "Workers with an agent.", ("status",))
        for status in WorkerStatus:
            workers.labels(status.value).set_function(self._workers(status))
        metrics.gauge("scheduler_slots", "Slots of the workers that are not offline.").set_function(self._slots)
        metrics.gauge("scheduler_slots_busy", "Executions placed, prefetched ones included.").set_function(self._busy)

    def watch(self, desk: Desk | None) -> None:
        """The desk after a turn; None when this process leads no longer."""
        if desk is not self._desk:
            self._desk, self._seen = desk, (0, 0)
        if desk is not None and self._seen != (desk.leases_lost, desk.stale):
            leases, stale = self._seen
            self._leases.inc(desk.leases_lost - leases)
            self._stale.inc(desk.stale - stale)
            self._seen = (desk.leases_lost, desk.stale)

    def _depth(self, rank: int) -> Callable[[], float]:
        return lambda: self._desk.queue.depths().get(rank, (0, None))[0] if self._desk else 0

    def _age(self, rank: int) -> Callable[[], float]:
        def oldest() -> float:
            found = self._desk.queue.depths().get(rank) if self._desk else None
            return max(0.0, (now() - found[1]).total_seconds()) if found else 0.0

        return oldest

    def _workers(self, status: WorkerStatus) -> Callable[[], float]:
        return lambda: sum(worker.status is status for worker in self._desk.fleet) if self._desk else 0

    def _slots(self) -> float:
        return sum(worker.slots for worker in self._desk.fleet if worker.online) if self._desk else 0

    def _busy(self) -> float:
        return sum(worker.busy for worker in self._desk.fleet) if self._desk else 0
