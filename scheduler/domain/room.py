"""The room of one worker: at the start of a plan (`Room`, `Held`), and while the plan takes from it (`Spot`).

`scheduler.domain.rules` decides which room a task may have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from scheduler.domain.model import Shape, Task

Rank = tuple[int, int, str]
"""Lower is better: 0 for free slots or 1 for prefetch room, then minus the amount, then the worker's id."""

UNLIMITED: Final = (1 << 62, 1 << 62, 1 << 62)
"""The resources of a worker that states no capacity."""


@dataclass(frozen=True, slots=True)
class Room:
    """The free room of a worker that takes work: `slots`, `prefetch`, and resources as (cpu_m, memory_mb, gpu).

    `labels` include the worker's type.
    """

    worker_id: str
    labels: Mapping[str, str]
    slots: int
    prefetch: int
    resources: tuple[int, int, int] = UNLIMITED


@dataclass(frozen=True, slots=True)
class Held:
    """A worker's room that is reserved for `task`; `slots` and `resources` are the room beside that task."""

    worker_id: str
    task: Task
    slots: int
    resources: tuple[int, int, int]


class Spot:
    """A worker's room while a plan is made."""

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
    """A reserved worker's room while a plan is made; `spare` are the resources beside the reserving task."""

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
        """End the reservation for this plan if its task has been placed, here or elsewhere."""
        if self.held_for is placed:
            self.held_for = None
