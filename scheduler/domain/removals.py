"""Drains, removals of workers over REST, and forgetting workers that have been offline for long.

Heartbeats and offers are in `leases`.
"""

from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from scheduler.domain.attempts import Attempts
from scheduler.domain.changes import Record
from scheduler.domain.model import Moment
from scheduler.domain.roster import Roster
from scheduler.domain.worker import KnownWorker
from schemas.events import WorkerDraining, WorkerForgotten, WorkerResumed
from schemas.states import Reason

MAX_REMOVED: Final = 10_000
"""Removed workers that are remembered."""
MAX_FORGOTTEN: Final = 500
"""Workers that one turn forgets."""


class Removals:
    """Remembers the removed incarnations, so that a late heartbeat of one does not register it again."""

    def __init__(self, roster: Roster, attempts: Attempts, record: Record) -> None:
        self._roster = roster
        self._attempts = attempts
        self._record = record
        self._removed: OrderedDict[str, str] = OrderedDict()
        """The removed incarnation, by worker id."""

    def has_removed(self, worker_id: str, incarnation: str) -> bool:
        return self._removed.get(worker_id) == incarnation

    def drain(self, event: WorkerDraining) -> bool:
        """Apply an ordered drain, which lasts until it is lifted. Returns whether the agent must be told."""
        worker = self._roster.get(event.worker_id)
        if worker is None or not event.ordered or worker.drained:
            return False  # an event that is not `ordered` is the scheduler's own, about an agent that drains by itself
        worker.drained, worker.lifted = True, False
        self._roster.touch(worker)
        self._record.worker(worker)
        return worker.online and not worker.draining

    def resume(self, event: WorkerResumed) -> bool:
        """Lift a drain. Returns whether the agent must be told; it takes work once it has reported that."""
        worker = self._roster.get(event.worker_id)
        if worker is None or not worker.drained:
            return False
        worker.drained, worker.lifted = False, worker.draining and not worker.left
        self._roster.touch(worker)
        self._record.worker(worker)
        return worker.online and worker.draining

    def removed(self, worker_id: str, now: Moment) -> None:
        """Remove a worker whose row was deleted. The executions that are placed there are lost."""
        worker = self._roster.get(worker_id)
        if worker is None:
            return
        for task in list(worker.placed.values()):
            self._attempts.leave_worker(task)
            self._attempts.lose(task, now, "its worker was removed", reason=Reason.WORKER_STOPPED)
        self._roster.remove(worker_id)
        self._record.removed(worker_id)
        self._removed[worker_id] = worker.incarnation
        if len(self._removed) > MAX_REMOVED:
            self._removed.popitem(last=False)

    def forget(self, now: Moment, ttl: Callable[[KnownWorker], timedelta]) -> int:
        """Forget workers that have been offline for longer than their `ttl`. Returns the number forgotten."""
        found = [
            worker
            for worker in self._roster
            if not worker.online and not worker.placed and now.wall - (worker.heard_at or worker.since) >= ttl(worker)
        ][:MAX_FORGOTTEN]
        for worker in found:
            self._roster.remove(worker.id)
            self._record.forgotten(worker)
            detail = f"offline for longer than {ttl(worker).total_seconds():g} s"
            self._record.emit(WorkerForgotten(worker_id=worker.id, name=worker.name, detail=detail))
        return len(found)
