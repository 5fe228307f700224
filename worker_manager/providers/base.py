"""The port to whatever can run a worker's agent: a local process today, containers later.

Here: the port and what passes through it. A provider knows nothing of the database, of events, or of what a worker
is told; it starts agents, watches over them, and ends them. One conformance suite proves every provider.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from schemas.specs import Capacity
from shared.errors import HodeiError

Handle = Mapping[str, str | int]
"""What a provider needs to find an agent again, also after a restart of the service: small, and JSON."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """A worker to be started."""

    worker_id: str
    name: str
    type: str
    labels: Mapping[str, str] = field(default_factory=dict)
    slots: int = 1
    capacity: Capacity | None = None
    """None leaves it to the agent, which goes by its machine."""


@dataclass(frozen=True, slots=True)
class Exit:
    """An agent's end. `code` is 128 + N after signal N, and None when nobody could see it."""

    code: int | None


class StartFailed(HodeiError):
    """The agent could not even be started."""


class Provider(Protocol):
    """One way to run agents."""

    @property
    def name(self) -> str:
        """What a request for a worker calls it."""
        ...

    async def start(self, spec: WorkerSpec) -> Handle:
        """Start the agent. Raises StartFailed."""
        ...

    async def adopt(self, handle: Handle) -> bool:
        """Tell whether the agent that the handle speaks of still runs, so that it can be watched and stopped."""
        ...

    async def watch(self, handle: Handle) -> Exit:
        """Wait for the agent's end. May be cancelled, and called again; also for an agent that is gone."""
        ...

    async def stop(self, handle: Handle, *, force: bool) -> None:
        """Ask the agent to end, or end it now. Nothing happens when it is gone."""
        ...

    async def reap(self, worker_id: str) -> int:
        """End whatever the worker's jobs left running; how many processes that were. The agent is gone already."""
        ...

    def pid(self, handle: Handle) -> int | None:
        """The agent's process id on this machine, where it has one."""
        ...

    async def last_words(self, worker_id: str) -> str:
        """The last line of the agent's own log, or nothing: for telling why it did not start."""
        ...

    async def forget(self, worker_id: str) -> None:
        """Remove what is kept for a worker that is gone and left nothing unfinished; its log stays."""
        ...

    async def erase(self, worker_id: str) -> None:
        """Remove all that is kept for a worker that is gone, its log included."""
        ...
