"""The port to whatever can run a worker's agent: a local process today, containers later.

Here: the port and its values. A provider starts agents, watches them, and ends them; it knows nothing of the database,
of events, or of the orders to a worker. One conformance suite tests every provider.
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
    """An agent's end. `code` is 128 + N after signal N, and None when it is not known."""

    code: int | None


class StartFailed(HodeiError):
    """The agent's process could not be started."""


class Provider(Protocol):
    """One way to run agents."""

    @property
    def name(self) -> str:
        """Its name in requests for a worker."""
        ...

    async def start(self, spec: WorkerSpec) -> Handle:
        """Start the agent. Raises StartFailed."""
        ...

    async def adopt(self, handle: Handle) -> bool:
        """Tell whether the agent of the handle still runs, so that it can be watched and stopped."""
        ...

    async def watch(self, handle: Handle) -> Exit:
        """Wait for the agent's end. May be cancelled, and called again; also for an agent that is gone."""
        ...

    async def stop(self, handle: Handle, *, force: bool) -> None:
        """Ask the agent to end, or end it now. Nothing happens when it is gone."""
        ...

    async def reap(self, worker_id: str) -> int:
        """End all processes that the worker's executions left. Returns their number. The agent is gone already."""
        ...

    def pid(self, handle: Handle) -> int | None:
        """The agent's process id on this machine, where it has one."""
        ...

    async def last_words(self, worker_id: str) -> str:
        """The last line of the agent's own log, or an empty text: it tells why the agent did not start."""
        ...

    async def forget(self, worker_id: str) -> None:
        """Remove the state of a worker that is gone and left nothing unfinished; its log stays."""
        ...

    async def erase(self, worker_id: str) -> None:
        """Remove everything of a worker that is gone, its log included."""
        ...
