"""The workers that the leader knows, and which of them have room.

Leases are measured by a monotonic clock (seconds), so that a step of the wall clock does not end them. Only workers
with an agent are here. No task is placed on a worker without one, and its lease is kept in SQL only. What the end of a
lease means for tasks is in `scheduler.domain.leases`.
"""

from collections.abc import Iterator

from scheduler.domain.model import Task
from scheduler.domain.room import Room
from scheduler.domain.rules import could_hold, takes_work
from scheduler.domain.worker import KnownWorker


class Roster:
    """The workers of the leader's memory, by id."""

    def __init__(self) -> None:
        self._workers: dict[str, KnownWorker] = {}
        self._roomy: dict[str, Room] = {}
        self._stale: set[str] = set()
        self.changed = False
        """Whether the room of a worker has changed since the last plan."""

    def __iter__(self) -> Iterator[KnownWorker]:
        return iter(self._workers.values())

    def __len__(self) -> int:
        return len(self._workers)

    def get(self, worker_id: str) -> KnownWorker | None:
        return self._workers.get(worker_id)

    def add(self, worker: KnownWorker) -> None:
        self._workers[worker.id] = worker
        self.touch(worker)

    def remove(self, worker_id: str) -> None:
        self._workers.pop(worker_id, None)
        self._roomy.pop(worker_id, None)

    def touch(self, worker: KnownWorker) -> None:
        """Note that a worker's offer, status or load has changed."""
        self._stale.add(worker.id)
        self.changed = True

    def occupy(self, worker: KnownWorker, task: Task) -> None:
        """Count a placed task against the worker's room. Raises ValueError for a task without an execution id."""
        if task.execution_id is None:
            raise ValueError(f"task {task.task_id} is placed without an execution id")
        worker.placed[task.execution_id] = task
        worker.busy += 1
        cpu_m, memory_mb, gpu = worker.used
        shape = task.shape
        worker.used = (cpu_m + shape.cpu_m, memory_mb + shape.memory_mb, gpu + shape.gpu)
        self.touch(worker)

    def release(self, worker_id: str, execution_id: str) -> Task | None:
        """Free the room of an execution. Returns its task, None if it held no room."""
        worker = self._workers.get(worker_id)
        task = worker.placed.pop(execution_id, None) if worker is not None else None
        if worker is None or task is None:
            return None
        worker.busy -= 1
        cpu_m, memory_mb, gpu = worker.used
        shape = task.shape
        worker.used = (cpu_m - shape.cpu_m, memory_mb - shape.memory_mb, gpu - shape.gpu)
        self.touch(worker)
        return task

    def rooms(self) -> list[Room]:
        """The room of every worker that can take a task now, in no particular order."""
        for id in self._stale:
            worker = self._workers.get(id)
            room = worker.room() if worker is not None and takes_work(worker) else None
            if room is not None and (room.slots or room.prefetch):
                self._roomy[id] = room
            else:
                self._roomy.pop(id, None)
        self._stale.clear()
        return list(self._roomy.values())

    def another_fits(self, task: Task) -> bool:
        """Whether a worker on which the task has not failed could hold it if nothing were placed there."""
        return any(worker.id not in task.shuns and could_hold(worker, task.shape) for worker in self)

    def expired(self, monotonic: float) -> list[KnownWorker]:
        """The workers whose lease has run out, and that are online or have placed executions."""
        return [worker for worker in self if _leased(worker) and worker.lease_until <= monotonic]

    def next_expiry(self) -> float | None:
        """The monotonic time at which the next lease runs out; None if there is no lease."""
        return min((worker.lease_until for worker in self if _leased(worker)), default=None)


def _leased(worker: KnownWorker) -> bool:
    """Whether the worker's lease counts. After a clean stop it does as long as executions are placed there."""
    return worker.online or bool(worker.placed)
