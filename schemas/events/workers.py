"""Events of workers. Each class names the service that publishes it."""

from pydantic import Field

from schemas.events.base import EventData
from schemas.states import WorkerProcessStatus


class _WorkerEvent(EventData):
    worker_id: str

    def entity_id(self) -> str:
        return self.worker_id


class WorkerStarted(_WorkerEvent):
    """By the worker manager: a worker process was started."""

    event_type = "workers.started"
    type: str
    name: str
    provider: str
    labels: dict[str, str] = Field(default_factory=dict)
    slots: int


class WorkerStopped(_WorkerEvent):
    """By the worker manager: the worker's process ended. `clean`: it left nothing unfinished. `ordered`: its stop was
    requested."""

    event_type = "workers.stopped"
    status: WorkerProcessStatus
    clean: bool
    ordered: bool = False
    exit_code: int | None = None
    detail: str


class WorkerRegistered(_WorkerEvent):
    """By the scheduler: a worker was registered, by its agent's first heartbeat or over REST (`has_agent` is false)."""

    event_type = "workers.registered"
    type: str
    name: str
    labels: dict[str, str] = Field(default_factory=dict)
    slots: int
    has_agent: bool
    incarnation: str | None = None
    draining: bool = Field(
        False, description="Whether an earlier drain still lasts, so that the worker accepts no new work."
    )


class WorkerDraining(_WorkerEvent):
    """By the scheduler: the worker takes nothing new and finishes what it has. Once for each drain, however it began:
    over REST, by the worker manager, or by a signal to the agent. An `ordered` one (over REST) lasts over restarts of
    the worker until workers.resumed; any other ends with the worker's process."""

    event_type = "workers.draining"
    incarnation: str | None = None
    ordered: bool = False


class WorkerResumed(_WorkerEvent):
    """By the scheduler: the drain that was ordered is lifted, and the worker may be given work again."""

    event_type = "workers.resumed"


class WorkerForgotten(_WorkerEvent):
    """By the scheduler, or by the worker manager for a process that it started (see `source`): the worker was offline
    for so long that it is no longer listed. Should it come back, it is registered again."""

    event_type = "workers.forgotten"
    name: str
    detail: str


class WorkerUnhealthy(_WorkerEvent):
    """By the scheduler: the agent reports that no command can start on its machine; the worker gets no work."""

    event_type = "workers.unhealthy"
    incarnation: str | None = None
    detail: str


class WorkerRecovered(_WorkerEvent):
    """By the scheduler: commands can start again on a worker that was unhealthy."""

    event_type = "workers.recovered"
    incarnation: str | None = None


class WorkerOffline(_WorkerEvent):
    event_type = "workers.offline"
    incarnation: str | None = None
    detail: str
