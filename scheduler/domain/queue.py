"""The waiting tasks: those that could run now, in lanes; those that are not due yet; and the queue deadlines.

Entries are never searched for: a task that leaves the queue invalidates its ticket, and entries with an invalid ticket
are dropped when they reach the top of a heap, or once they are more than half of it. Not here: which worker takes a
task (`scheduler.domain.placement`).
"""

from collections.abc import Iterator
from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Final

from scheduler.domain.model import Shape, Task
from scheduler.domain.placement import Lane

_Entry = tuple[datetime, str, int, Task]
"""A time, the task's id, the ticket that makes the entry valid, and the task. There is no index beside the heaps: with
hundreds of thousands of tasks it would take as much memory again."""

_Kind = tuple[Shape, int, tuple[str, ...]]
"""The key of a lane: its tasks' shape, priority, and the workers that they shun."""

_COMPACT_FROM: Final = 256


class Queue:
    """The waiting tasks of the leader's memory."""

    def __init__(self) -> None:
        self._count = 0
        self._lanes: dict[_Kind, _ReadyLane] = {}
        self._delayed: list[_Entry] = []
        self._deadlines: list[_Entry] = []
        self._patience: list[_Entry] = []
        """The times at which tasks stop waiting for a worker on which they have not failed."""
        self.changed = False
        """Whether a task became ready since the last plan."""

    def __len__(self) -> int:
        return self._count

    def add(self, task: Task, now: datetime) -> None:
        """Add a task. It is ready at once unless its `ready_at` is in the future."""
        task.ticket = 1 - task.ticket
        self._count += 1
        if task.run_at is not None and task.ready_at > now:
            self._time(self._delayed, task.ready_at, task)
        else:
            self._make_ready(task)
        if task.shuns and task.patient_until > now:
            self._time(self._patience, task.patient_until, task)
        if task.queue_deadline is not None:
            self._time(self._deadlines, task.queue_deadline, task)

    def remove(self, task: Task) -> None:
        """Remove a task, if it is in the queue."""
        if not task.waits:
            return
        ready, task.ticket, task.ready = task.ready, -task.ticket, False
        self._count -= 1
        key = (task.shape, task.priority, task.shuns)
        if ready and self._lanes[key].discard() == 0:
            del self._lanes[key]

    def reprioritize(self, task: Task, priority: int, now: datetime) -> None:
        """Give a task another priority: if it waits, the place that it would have had with it from the start."""
        if not task.ready:
            task.priority = priority
            return
        self.remove(task)
        task.priority = priority
        self.add(task, now)

    def ripen(self, now: datetime) -> int:
        """Make ready every task that is due. Returns the number made ready. Tasks whose wait for another worker is over
        may be placed anywhere from now on."""
        count = 0
        while self._delayed and self._delayed[0][0] <= now:
            entry = heappop(self._delayed)
            if _is_live(entry):
                self._make_ready(entry[3])
                count += 1
        while self._patience and self._patience[0][0] <= now:
            if _is_live(heappop(self._patience)):
                self.changed = True
        return count

    def overdue(self, now: datetime) -> list[Task]:
        """The tasks whose queue deadline has passed; they stay in the queue."""
        found = []
        while self._deadlines and self._deadlines[0][0] <= now:
            entry = heappop(self._deadlines)
            if _is_live(entry):
                found.append(entry[3])
        return found

    def next_moment(self) -> datetime | None:
        """When `ripen` or `overdue` is next due; None if nothing is timed."""
        moments = []
        for heap in (self._delayed, self._deadlines, self._patience):
            while heap and not _is_live(heap[0]):
                heappop(heap)
            if heap:
                moments.append(heap[0][0])
        return min(moments, default=None)

    def lanes(self) -> list[Lane]:
        """The lanes of tasks that could run now."""
        return [Lane(shape, priority, lane.in_order(), shuns) for (shape, priority, shuns), lane in self._lanes.items()]

    def depths(self) -> dict[int, tuple[int, datetime]]:
        """By priority: how many tasks could run now, and since when the oldest of them could."""
        found: dict[int, tuple[int, datetime]] = {}
        for (_, priority, _), lane in self._lanes.items():
            count, oldest = found.get(priority, (0, lane.oldest()))
            found[priority] = (count + len(lane), min(oldest, lane.oldest()))
        return found

    def _time(self, heap: list[_Entry], moment: datetime, task: Task) -> None:
        """Add a timed entry, and drop the invalid ones once they are more than half."""
        heappush(heap, (moment, task.task_id, task.ticket, task))
        if len(heap) > _COMPACT_FROM and len(heap) > 2 * self._count:
            heap[:] = [entry for entry in heap if _is_live(entry)]
            heapify(heap)

    def _make_ready(self, task: Task) -> None:
        self.changed = task.ready = True
        self._lanes.setdefault((task.shape, task.priority, task.shuns), _ReadyLane()).add(task)


class _ReadyLane:
    """A heap of entries, some of which may be invalid, but never the top one."""

    __slots__ = ("_entries", "_live")

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._live = 0

    def __len__(self) -> int:
        return self._live

    def add(self, task: Task) -> None:
        heappush(self._entries, (task.ready_at, task.task_id, task.ticket, task))
        self._live += 1

    def discard(self) -> int:
        """Note that one task of the lane has left the queue. Returns the number of tasks left."""
        self._live -= 1
        entries = self._entries
        while entries and not _is_live(entries[0]):
            heappop(entries)
        if len(entries) > _COMPACT_FROM and len(entries) > 2 * self._live:
            self._entries = [entry for entry in entries if _is_live(entry)]
            heapify(self._entries)
        return self._live

    def oldest(self) -> datetime:
        return self._entries[0][0]

    def in_order(self) -> Iterator[Task]:
        """Iterate over the heap in order without changing it; reading k tasks costs k log k."""
        entries = self._entries
        frontier = [(entries[0], 0)] if entries else []
        while frontier:
            entry, index = heappop(frontier)
            for child in (2 * index + 1, 2 * index + 2):
                if child < len(entries):
                    heappush(frontier, (entries[child], child))
            if _is_live(entry):
                yield entry[3]


def _is_live(entry: _Entry) -> bool:
    return entry[3].ticket == entry[2]
