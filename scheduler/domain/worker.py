"""One worker as the leader knows it: its offer, the executions placed on it, and its lease.

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
    """A worker with an agent. `since` is the time of this incarnation's first heartbeat; `lease_until` is monotonic."""

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
    """The agent reports that it drains."""
    lifted: bool = False
    """A drain was lifted, and the agent has not yet reported that it takes work again."""
    unhealthy: str | None = None
    """Why no command can start there, as the agent reports; None if commands can."""
    durable: bool = False
    """It keeps its id over restarts, so it may come back after a long time."""
    left: bool = False
    """It was told to end, and has not come back since: its executions are lost with the reason `worker_stopped`."""
    stored: bool = False
    """Whether its row was written. If that row does not exist any more, the worker was removed."""
    reservation: Reservation | None = None
    lease_until: float = 0.0
    heard_at: datetime | None = None
    sequence: int = 0
    """The number of this incarnation's newest heartbeat or offer; 0 before the first."""
    placed: dict[str, Task] = field(default_factory=dict)
    missing: dict[str, float] = field(default_factory=dict)
    """Placed executions that the last heartbeats did not list, with the monotonic time since when, or when the worker
    was last asked for them."""
    sought: set[str] = field(default_factory=set)
    """Those of them for which the worker was asked."""
    busy: int = 0
    """How many executions are placed there; `used` is what they claim: (cpu_m, memory_mb, gpu)."""
    used: tuple[int, int, int] = (0, 0, 0)
    former: deque[str] = field(default_factory=lambda: deque(maxlen=16))
    """The most recent former incarnations; their late messages are ignored."""

    @property
    def status(self) -> WorkerStatus:
        if not self.online:
            return WorkerStatus.OFFLINE
        if self.drained or (self.draining and not self.lifted):
            return WorkerStatus.DRAINING
        return WorkerStatus.ONLINE if self.unhealthy is None else WorkerStatus.UNHEALTHY

    @property
    def reason(self) -> str | None:
        """Why it is unhealthy, while that is its status."""
        return self.unhealthy if self.status is WorkerStatus.UNHEALTHY else None

    def room(self) -> Room:
        """Its free room. The rules decide whether the worker takes work at all."""
        slots = max(0, self.slots - self.busy)
        prefetch = max(0, self.slots + self.prefetch - max(self.busy, self.slots))
        return Room(self.id, self.tags(), slots, prefetch, self.free_resources())

    def tags(self) -> dict[str, str]:
        """Its labels and its type, with which `requires` is compared."""
        return tags(self.type, self.labels)

    def whole(self) -> tuple[int, int, int]:
        """Its whole capacity as (cpu_m, memory_mb, gpu)."""
        capacity = self.capacity
        return UNLIMITED if capacity is None else (capacity.cpu_m, capacity.memory_mb, capacity.gpu)

    def free_resources(self) -> tuple[int, int, int]:
        """Its unclaimed resources as (cpu_m, memory_mb, gpu); never negative, even if its capacity has shrunk."""
        if self.capacity is None:
            return UNLIMITED
        cpu_m, memory_mb, gpu = self.used
        capacity = self.capacity
        return (max(0, capacity.cpu_m - cpu_m), max(0, capacity.memory_mb - memory_mb), max(0, capacity.gpu - gpu))


def tags(type: str, labels: Mapping[str, str]) -> dict[str, str]:
    """A worker's labels and its type, with which `requires` is compared."""
    return {**labels, "type": type}
