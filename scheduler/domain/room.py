"""The room of one worker: as it is when a plan begins (`Room`, `Held`), and while the plan takes from it (`Spot`).

Which room a task may have is decided by the rules (`scheduler.domain.rules`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from scheduler.domain.model import Shape, Task

Rank = tuple[int, int, str]
"""Lower is better: 0 for a free slot and 1 for prefetch room, then minus how much of it, then the id."""

UNLIMITED: Final = (1 << 62, 1 << 62, 1 << 62)
"""The resources of a worker that states no capacity."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a worker that takes work still has: free `slots`, room to `prefetch`, and (cpu_m, memory_mb, gpu).

    `labels` hold its type as well.
    """

    worker_id: str
    labels: Mapping[str, str]
    slots: int
    prefetch: int
    resources: tuple[int, int, int] = UNLIMITED


@dataclass(frozen=True, slots=True)
class Held:
    """The room of this worker is held for `task`; `slots` and `resources` are what there is beside it."""

    worker_id: str
    task: Task
    slots: int
    resources: tuple[int, int, int]


class Spot:
    """A room while a plan is being made of it."""

    __slots__ = ("cpu_m", "gpu", "labels", "memory_mb", "prefetch", "slots", "worker_id")

    def __init__(self, room: Room) -> None:
        self.worker_id, self.labels = room.worker_id, room.labels
        self.slots, self.prefetch = max(0, room.slots), max(0, room.prefetch)
        self.cpu_m, self.memory_mb, self.gpu = room.resources

    def rank(self) -> Rank | None:
        if self.slots:
            return (0, -self.slots, self.worker_id)
        if self.prefetch:
            return (1, -self.prefetch, self.worker_id)
        return None

    def take(self, shape: Shape) -> None:
        if self.slots:
            self.slots -= 1
        else:
            self.prefetch -= 1
        self.cpu_m -= shape.cpu_m
        self.memory_mb -= shape.memory_mb
        self.gpu -= shape.gpu


class HeldSpot(Spot):
    """A room that is held for a task while a plan is being made of it; `spare` is what there is beside that task."""

    __slots__ = ("held_for", "spare", "spare_slots")

    def __init__(self, room: Room, held: Held) -> None:
        super().__init__(room)
        self.held_for: Task | None = held.task
        self.spare_slots, self.spare = held.slots, held.resources

    def take(self, shape: Shape) -> None:
        super().take(shape)
        cpu_m, memory_mb, gpu = self.spare
        self.spare = (cpu_m - shape.cpu_m, memory_mb - shape.memory_mb, gpu - shape.gpu)
        self.spare_slots -= 1

    def lift(self, placed: Task) -> None:
        """The task has been placed, here or elsewhere: others may have the rest."""
        if self.held_for is placed:
            self.held_for = None
