"""The interface to platforms that can run a worker's agent: a local process today, containers later.

This module has the interface and its values. A provider starts agents, watches them and ends them; the database, events
and orders to workers are not its concern. One conformance suite tests every provider.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from schemas.specs import Capacity
from shared.errors import HodeiError

Handle = Mapping[str, str | int]
"""The values by which a provider finds an agent again, even after a restart of the service: small, and JSON."""


@dataclass(frozen=True, slots=True)
class WorkerKeys:
    """The texts of a worker's two credentials files: for its work, and to ask for new ones. Never printed."""

    credentials: str = field(repr=False)
    renewal: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """A worker to be started."""

    worker_id: str
    name: str
    type: str
    labels: Mapping[str, str] = field(default_factory=dict)
    slots: int = 1
    capacity: Capacity | None = None
    """None: the agent detects the capacity of its machine."""
    keys: WorkerKeys | None = None
    """None: NATS asks for no credentials."""


@dataclass(frozen=True, slots=True)
class Exit:
    """The exit of an agent. `code` is 128 + N after signal N, and None when it is not known."""

    code: int | None


class StartFailed(HodeiError):
    """The agent's process could not be started."""


class Provider(Protocol):
    """One way to run agents."""

    @property
    def name(self) -> str:
        """The provider's name in requests for a worker."""
        ...

    async def start(self, spec: WorkerSpec) -> Handle:
        """Start the agent. Raises StartFailed."""
        ...

    async def adopt(self, handle: Handle) -> bool:
        """Whether the agent of this handle still runs, so that it can be watched and stopped."""
        ...

    async def watch(self, handle: Handle) -> Exit:
        """Wait for the agent's exit. May be cancelled and called again; returns at once for an agent that is gone."""
        ...

    async def stop(self, handle: Handle, *, force: bool) -> None:
        """Ask the agent to stop; with `force`, kill it. Does nothing when it is gone."""
        ...

    async def reap(self, worker_id: str) -> int:
        """Kill all processes that the worker's executions left behind. Returns their number. Call it when the agent is
        gone."""
        ...

    def pid(self, handle: Handle) -> int | None:
        """The agent's process id on this machine; None if it has none."""
        ...

    async def last_words(self, worker_id: str) -> str:
        """The last line of the agent's own log, or an empty text. It shows why an agent did not start."""
        ...

    async def forget(self, worker_id: str) -> None:
        """Remove the state of a worker that is gone and left nothing unfinished; its log stays."""
        ...

    async def erase(self, worker_id: str) -> None:
        """Remove all files of a worker that is gone, its log included."""
        ...
