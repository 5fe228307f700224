"""Reservations: a worker is kept for a large task that smaller ones overtake, until the earlier executions there end.

A task that needs many resources could wait for ever while smaller ones fill every gap. Once it has waited RESERVE_AFTER
and is overtaken, the worker that lacks least for it is reserved. From then on a task of lower claim (a lower priority,
or the same and ready later) is placed there only if it fits beside the large one. Durations of executions are unknown,
so back-filling goes by room and not by time. So the large task begins, at the latest, when the executions that were
placed there before have ended, unless tasks of higher claim arrive. A reservation ends when the task is placed, here or
elsewhere, or leaves the queue, or the worker takes no new work any more.

Here: which worker is reserved for which task. How a plan respects that is in `placement`.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from scheduler.domain.model import Reservation, Shape, Task
from scheduler.domain.placement import Plan
from scheduler.domain.room import Held
from scheduler.domain.roster import Roster
from scheduler.domain.rules import could_hold
from scheduler.domain.worker import KnownWorker

RESERVE_AFTER: Final = timedelta(seconds=2)
"""How long a task may be overtaken before a worker is reserved for it."""
MAX_RESERVED: Final = 16
"""Most workers that are reserved at the same time; a task of higher claim replaces the lowest."""
MAX_NEW: Final = 4
"""Most reservations that one turn makes, as each looks at every worker."""
LOOKED_AT: Final = 200
"""Most placements of one plan that are searched for one that overtook a task."""


class Reservations:
    """The reserved workers. The reservation itself is kept in the worker."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._reserved: dict[str, KnownWorker] = {}

    def restore(self, worker: KnownWorker, task: Task) -> None:
        """Add a reservation that an earlier leader made."""
        self._reserve(worker, task)

    def prune(self) -> list[KnownWorker]:
        """End reservations that do not hold any more. Returns their workers."""
        over = [worker for worker in self._reserved.values() if not self._holds(worker)]
        for worker in over:
            self._release(worker)
        return over

    def held(self) -> list[Held]:
        """The reserved rooms, which a plan must respect."""
        return [_held(worker, worker.reservation) for worker in self._reserved.values() if worker.reservation]

    def review(self, plan: Plan, now: datetime) -> list[KnownWorker]:
        """Reserve workers for tasks that this plan passed over. Returns the workers whose reservation changed."""
        changed: list[KnownWorker] = []
        waiting = {worker.reservation.task.task_id for worker in self._reserved.values() if worker.reservation}
        for task, index in plan.passed:
            if len(changed) >= MAX_NEW:
                break
            if task.task_id in waiting or now - task.ready_at < RESERVE_AFTER or not self._overtaken(task, plan, index):
                continue
            changed += self._make(task)
        return changed

    def _make(self, task: Task) -> list[KnownWorker]:
        worker = self._best(task)
        if worker is None:
            return []
        lowest: list[KnownWorker] = []
        if len(self._reserved) >= MAX_RESERVED and worker.reservation is None:
            lowest = [max(self._reserved.values(), key=_claim)]
            if not task.claim() < _claim(lowest[0]):
                return []
            self._release(lowest[0])
        self._reserve(worker, task)
        return [*lowest, worker]

    def _overtaken(self, task: Task, plan: Plan, index: int) -> bool:
        """Whether a task of lower claim was placed on a worker that could hold this task."""
        for placement in plan[index : index + LOOKED_AT]:
            worker = self._roster.get(placement.worker_id)
            if worker is not None and could_hold(worker, task.shape):
                return True
        return False

    def _best(self, task: Task) -> KnownWorker | None:
        """The worker that lacks least for the task. A worker on which it failed, or that is reserved for a task of
        lower claim, is chosen only if there is no other."""
        best: tuple[tuple[bool, bool, float, int, str], KnownWorker] | None = None
        for worker in self._roster:
            reserved = worker.reservation
            if (reserved is None or task.claim() < reserved.task.claim()) and could_hold(worker, task.shape):
                lack = _lack(worker, task.shape)
                score = (worker.id in task.shuns, reserved is not None, lack, worker.busy, worker.id)
                if best is None or score < best[0]:
                    best = score, worker
        return None if best is None else best[1]

    def _holds(self, worker: KnownWorker) -> bool:
        reservation = worker.reservation
        return (
            reservation is not None
            and reservation.task.waits
            and self._roster.get(worker.id) is worker
            and could_hold(worker, reservation.task.shape)
        )

    def _reserve(self, worker: KnownWorker, task: Task) -> None:
        worker.reservation = Reservation(task, frozenset(worker.placed))
        self._reserved[worker.id] = worker

    def _release(self, worker: KnownWorker) -> None:
        worker.reservation = None
        del self._reserved[worker.id]
        self._roster.touch(worker)


def held_room(worker: KnownWorker, task: Task, since: Iterable[Task] = ()) -> Held:
    """The room beside the task for which the worker is reserved: the whole capacity, less the needs of that task and of
    tasks placed `since` the reservation."""
    shapes: Sequence[Shape] = [task.shape, *(one.shape for one in since)]
    total = worker.whole()
    return Held(
        worker.id,
        task,
        worker.slots + worker.prefetch - len(shapes),
        (
            total[0] - sum(shape.cpu_m for shape in shapes),
            total[1] - sum(shape.memory_mb for shape in shapes),
            total[2] - sum(shape.gpu for shape in shapes),
        ),
    )


def _held(worker: KnownWorker, reservation: Reservation) -> Held:
    since = (task for id, task in worker.placed.items() if id not in reservation.before)
    return held_room(worker, reservation.task, since)


def _lack(worker: KnownWorker, shape: Shape) -> float:
    """The largest missing fraction of a needed resource; 0 if only a slot is missing."""
    free = worker.free_resources()
    needs = (shape.cpu_m, shape.memory_mb, shape.gpu)
    return max((max(0, need - has) / need for need, has in zip(needs, free, strict=True) if need), default=0.0)


def _claim(worker: KnownWorker) -> tuple[int, datetime, str]:
    if worker.reservation is None:
        raise ValueError(f"worker {worker.id} is not reserved")
    return worker.reservation.task.claim()
