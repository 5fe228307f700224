"""One worker as the leader knows it: what it offers, what is placed there, and until when it counts as alive.

All workers together are in `scheduler.domain.roster`.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from scheduler.domain.model import Reservation, Task
from scheduler.domain.room import UNLIMITED, Room
from schemas.specs import Resources
from schemas.states import WorkerStatus


@dataclass(slots=True, eq=False)
class KnownWorker:
    """A worker with an agent. `since` is when this incarnation was first heard of, `lease_until` monotonic."""

    id: str
    type: str
    name: str
    incarnation: str
    since: datetime
    labels: Mapping[str, str] = field(default_factory=dict)
    capacity: Resources | None = None
    slots: int = 0
    prefetch: int = 0
    online: bool = True
    has_agent: bool = True
    drained: bool = False
    """A drain was ordered; it lasts, over restarts, until it is lifted."""
    draining: bool = False
    """The agent says that it drains."""
    lifted: bool = False
    """A drain was lifted, and the agent has yet to say that it takes work again."""
    unhealthy: str | None = None
    """Why no command can start there, as the agent says."""
    durable: bool = False
    """It keeps its id over restarts, and so may come back after a long time."""
    left: bool = False
    """It ends or has ended on order, and has not come back since: what it leaves behind did not crash."""
    stored: bool = False
    """It has its row; should that be gone, the worker was removed."""
    reservation: Reservation | None = None
    lease_until: float = 0.0
    heard_at: datetime | None = None
    sequence: int = 0
    """The number of this incarnation's newest heartbeat or offer; 0 before the first."""
    placed: dict[str, Task] = field(default_factory=dict)
    missing: dict[str, float] = field(default_factory=dict)
    """What is placed there and was not named in the last heartbeats: since then, or since it was asked
    for, monotonic."""
    sought: set[str] = field(default_factory=set)
    """Of these, what the worker was asked for."""
    busy: int = 0
    """How many are placed there, and what they claim: (cpu_m, memory_mb, gpu)."""
    used: tuple[int, int, int] = (0, 0, 0)
    former: deque[str] = field(default_factory=lambda: deque(maxlen=16))
    """The last incarnations that are over; what still speaks in their name is a straggler."""

    @property
    def status(self) -> WorkerStatus:
        if not self.online:
            return WorkerStatus.OFFLINE
        if self.drained or (self.draining and not self.lifted):
            return WorkerStatus.DRAINING
        return WorkerStatus.ONLINE if self.unhealthy is None else WorkerStatus.UNHEALTHY

    @property
    def reason(self) -> str | None:
        """Why it is unhealthy."""
        return self.unhealthy if self.status is WorkerStatus.UNHEALTHY else None

    def room(self) -> Room:
        """What is free there. Whether the worker takes work at all is decided by the rules."""
        slots = max(0, self.slots - self.busy)
        prefetch = max(0, self.slots + self.prefetch - max(self.busy, self.slots))
        return Room(self.id, self.tags(), slots, prefetch, self.free_resources())

    def tags(self) -> dict[str, str]:
        """Its labels with its type among them, as `requires` sees them."""
        return tags(self.type, self.labels)

    def whole(self) -> tuple[int, int, int]:
        """(cpu_m, memory_mb, gpu) that it has in all."""
        capacity = self.capacity
        return UNLIMITED if capacity is None else (capacity.cpu_m, capacity.memory_mb, capacity.gpu)

    def free_resources(self) -> tuple[int, int, int]:
        """(cpu_m, memory_mb, gpu) that nothing placed there has claimed; none where it states less than before."""
        if self.capacity is None:
            return UNLIMITED
        cpu_m, memory_mb, gpu = self.used
        capacity = self.capacity
        return (max(0, capacity.cpu_m - cpu_m), max(0, capacity.memory_mb - memory_mb), max(0, capacity.gpu - gpu))


def tags(type: str, labels: Mapping[str, str]) -> dict[str, str]:
    """A worker's labels with its type among them, as `requires` sees them."""
    return {**labels, "type": type}
