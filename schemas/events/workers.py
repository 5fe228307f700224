"""Events of workers. Each class names the service that publishes it."""

from pydantic import Field

from schemas.access import Actor
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
    created_by: Actor | None = Field(None, description="Who requested it; absent with access off.")


class WorkerStopped(_WorkerEvent):
    """By the worker manager: the worker's process ended. `clean`: it left nothing unfinished. `ordered`: its stop was
    requested."""

    event_type = "workers.stopped"
    status: WorkerProcessStatus
    clean: bool
    ordered: bool = False
    exit_code: int | None = None
    detail: str
    stopped_by: Actor | None = Field(
        None, description="Who requested its stop; absent where that was not requested, and with access off."
    )


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
    registered_by: Actor | None = Field(None, description="Who registered it over REST; absent with access off.")


class WorkerDraining(_WorkerEvent):
    """By the scheduler: the worker takes nothing new and finishes what it has. Once for each drain, however it began:
    over REST, by the worker manager, or by a signal to the agent. An `ordered` one (over REST) lasts over restarts of
    the worker until workers.resumed; any other ends with the worker's process."""

    event_type = "workers.draining"
    incarnation: str | None = None
    ordered: bool = False
    drained_by: Actor | None = Field(None, description="Who ordered it; absent with access off.")


class WorkerResumed(_WorkerEvent):
    """By the scheduler: the drain that was ordered is lifted, and the worker may be given work again."""

    event_type = "workers.resumed"
    resumed_by: Actor | None = Field(None, description="Who resumed it; absent with access off.")


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
    """By the scheduler: the worker stopped, was lost, or was `removed` over REST."""

    event_type = "workers.offline"
    incarnation: str | None = None
    detail: str
    removed: bool = False
    removed_by: Actor | None = Field(None, description="Who removed it over REST; absent with access off.")


class WorkerEnrolled(_WorkerEvent):
    """By the worker manager: a worker got credentials for the bus with a join token."""

    event_type = "workers.enrolled"
    name: str
    type: str
    labels: dict[str, str] = Field(default_factory=dict)
    join_token_id: str


class WorkerRevoked(_WorkerEvent):
    """By the worker manager: a worker's credentials for the bus are refused from now on."""

    event_type = "workers.revoked"
    name: str
    detail: str
    revoked_by: Actor | None = Field(None, description="Who requested it; absent with access off.")
