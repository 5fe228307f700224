"""Workers over REST, as the scheduler and as the worker manager show them."""

from typing import Literal

from pydantic import ConfigDict, Field

from schemas.access import Actor
from schemas.model import Id, Model, Name, OrDefault, Timestamp
from schemas.rest.lists import LabelQuery, NameFilter, Who
from schemas.specs import MAX_SLOTS, Capacity, Labels, Resources, WorkerType
from schemas.states import WorkerProcessStatus, WorkerStatus


class WorkerRegister(Model):
    """Scheduler: make a worker known. Without an agent behind it, it is listed and never sent anything."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"type": "rust", "labels": {"zone": "north"}}]})

    type: OrDefault[WorkerType] = Field(
        "default", examples=["rust"], description="The worker's type; steps may require it like a label."
    )
    name: Name | None = Field(None, description="The worker's name; by default the beginning of its id.")
    labels: OrDefault[Labels] = Field(default_factory=dict, description="The worker's labels, which steps may require.")
    capacity: Resources | None = Field(None, description="Its capacity for executions with `resources`.")


class RegisteredWorker(Model):
    """A worker as the scheduler sees it: may work be placed there?"""

    id: Id = Field(description="The worker's id.")
    type: str = Field(description="The worker's type; steps may require it like a label.")
    name: str = Field(description="The worker's name.")
    status: WorkerStatus = Field(description="Its status; only `online` workers get new work.")
    reason: str | None = Field(description="Why it is unhealthy; null if it is not.")
    labels: dict[str, str] = Field(description="The worker's labels, which steps may require.")
    capacity: Resources | None = Field(description="Its capacity for executions with `resources`.")
    slots: int = Field(description="How many executions it runs at once.")
    busy: int = Field(description="How many executions are placed on it.")
    drained: bool = Field(
        description="Whether it was drained over REST. That lasts, even over restarts, until the worker is resumed."
    )
    drained_by: Actor | None = Field(
        None, description="Who drained it over REST; null if it is not drained, and with access off."
    )
    reserved_for: Id | None = Field(description="The task with large `resources` for which the worker is reserved.")
    has_agent: bool = Field(description="Whether it has an agent; without one it gets no work.")
    registered_at: Timestamp = Field(description="When it was registered.")
    last_heartbeat: Timestamp | None = Field(description="When its last heartbeat arrived.")


class RegisteredWorkerQuery(LabelQuery):
    status: WorkerStatus | None = Field(None, description="Only workers with this status.")
    type: str | None = Field(None, description="Only workers of this type.")
    name: NameFilter = Field(
        None, description="Only workers with exactly this name or, with a `*` at the end, whose names begin with it."
    )
    has_agent: bool | None = Field(None, description="Only workers with an agent, or without one.")
    drained: bool | None = Field(None, description="Only workers that were drained over REST, or that were not.")
    drained_by: Who = Field(None, description="Only workers that this token drained: its id or its name.")
    reserved_for: str | None = Field(None, description="Only workers that are reserved for this task.")


class WorkerHeartbeat(Model):
    """The optional body of a heartbeat over REST."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"labels": {"zone": "south"}}]})

    labels: Labels | None = Field(None, description="Its new labels; without them, the labels stay as they are.")


class WorkerStart(Model):
    """Worker manager: start a real worker process."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"type": "rust", "slots": 2}]})

    type: OrDefault[WorkerType] = Field(
        "default", examples=["rust"], description="The worker's type; steps may require it like a label."
    )
    name: Name | None = Field(None, description="The worker's name; by default the beginning of its id.")
    labels: OrDefault[Labels] = Field(default_factory=dict, description="The worker's labels, which steps may require.")
    slots: int | None = Field(None, ge=1, le=MAX_SLOTS, description="How many executions it runs at once.")
    capacity: Capacity | None = Field(
        None,
        description="Its capacity for executions with `resources`; by default the machine's CPU and memory, no GPU.",
    )
    provider: OrDefault[Literal["process"]] = Field(
        "process", description="The provider that starts it. `process`: on the worker manager's machine."
    )


class ManagedWorker(Model):
    """A worker as the worker manager sees it: its process."""

    id: Id = Field(description="The worker's id.")
    type: str = Field(description="The worker's type; steps may require it like a label.")
    name: str = Field(description="The worker's name.")
    status: WorkerProcessStatus = Field(description="The status of its process.")
    provider: str = Field(description="The provider that started it.")
    labels: dict[str, str] = Field(description="The worker's labels, which steps may require.")
    slots: int = Field(description="How many executions it runs at once.")
    pid: int | None = Field(description="Its process id, on the worker manager's machine.")
    stop_requested: Literal["drain", "force"] | None = Field(
        description="Which stop was requested over REST, `drain` or `force`; null if none was."
    )
    stop_requested_by: Actor | None = Field(
        None, description="Who requested the stop; null if that was not requested, and with access off."
    )
    exit_code: int | None = Field(description="Its process's exit code; 128 + N when signal N ended it.")
    detail: str | None = Field(description="How the process ended, in words.")
    created_by: Actor | None = Field(None, description="Who requested it; null with access off.")
    created_at: Timestamp = Field(description="When it was requested.")
    started_at: Timestamp | None = Field(description="When its process started.")
    stopped_at: Timestamp | None = Field(description="When its process ended.")


class ManagedWorkerState(Model):
    """The status of a worker's process."""

    id: Id = Field(description="The worker's id.")
    status: WorkerProcessStatus = Field(description="The status of its process.")


class ManagedWorkerQuery(LabelQuery):
    status: WorkerProcessStatus | None = Field(None, description="Only workers with this status.")
    type: str | None = Field(None, description="Only workers of this type.")
    name: NameFilter = Field(
        None, description="Only workers with exactly this name or, with a `*` at the end, whose names begin with it."
    )
    provider: str | None = Field(None, description="Only workers of this provider.")
    created_by: Who = Field(None, description="Only workers that this token requested: its id or its name.")


class StopQuery(Model):
    force: bool = Field(
        False, description="Stop at once; the executions that run there are lost, and their tasks are queued again."
    )
