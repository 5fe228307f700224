"""Workers over REST, as the scheduler and as the worker manager show them."""

from typing import Literal

from pydantic import ConfigDict, Field

from schemas.model import Id, Model, Name, OrDefault, Timestamp
from schemas.rest.lists import LabelQuery
from schemas.specs import MAX_SLOTS, Capacity, Labels, Resources, WorkerType
from schemas.states import WorkerProcessStatus, WorkerStatus


class WorkerRegister(Model):
    """Scheduler: make a worker known. Without an agent behind it, it is listed and never sent anything."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"type": "rust", "labels": {"zone": "north"}}]})

    type: OrDefault[WorkerType] = Field("default", examples=["rust"], description="Steps may require it, as a label.")
    name: Name | None = Field(None, description="What people call the worker; by default the beginning of its id.")
    labels: OrDefault[Labels] = Field(default_factory=dict, description="What steps may require of it.")
    capacity: Resources | None = Field(None, description="What it has for executions that state their resources.")


class RegisteredWorker(Model):
    """A worker as the scheduler sees it: may work be placed there?"""

    id: Id = Field(description="The worker's id.")
    type: str = Field(description="Its type; steps may require it, as a label.")
    name: str = Field(description="What people call the worker.")
    status: WorkerStatus = Field(description="Whether work may be placed there.")
    reason: str | None = Field(description="Why it is unhealthy.")
    labels: dict[str, str] = Field(description="What steps may require of it.")
    capacity: Resources | None = Field(description="What it has for executions that state their resources.")
    slots: int = Field(description="How many executions run there at once.")
    busy: int = Field(description="How many executions are placed there.")
    drained: bool = Field(description="Whether a drain was ordered; it lasts, over restarts, until it is resumed.")
    reserved_for: Id | None = Field(description="The task, in need of much room, that the worker is kept for.")
    has_agent: bool = Field(description="Whether an agent stands behind it; without one it is sent nothing.")
    registered_at: Timestamp = Field(description="When it was first heard of.")
    last_heartbeat: Timestamp | None = Field(description="When it was last heard of.")


class RegisteredWorkerQuery(LabelQuery):
    status: WorkerStatus | None = Field(None, description="Only workers of this status.")
    type: str | None = Field(None, description="Only workers of this type.")
    name: str | None = Field(None, description="Only workers of exactly this name.")
    has_agent: bool | None = Field(None, description="Only workers with an agent behind them, or without.")
    drained: bool | None = Field(None, description="Only workers whose drain was ordered, or the others.")
    reserved_for: str | None = Field(None, description="Only workers that are kept for this task.")


class WorkerHeartbeat(Model):
    """Optional news in a heartbeat over REST."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"labels": {"zone": "south"}}]})

    labels: Labels | None = Field(None, description="Its labels from now on; without them nothing changes.")


class WorkerStart(Model):
    """Worker manager: start a real worker process."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"type": "rust", "slots": 2}]})

    type: OrDefault[WorkerType] = Field("default", examples=["rust"], description="Steps may require it, as a label.")
    name: Name | None = Field(None, description="What people call the worker; by default the beginning of its id.")
    labels: OrDefault[Labels] = Field(default_factory=dict, description="What steps may require of it.")
    slots: int | None = Field(None, ge=1, le=MAX_SLOTS, description="How many executions run at once.")
    capacity: Capacity | None = Field(
        None, description="What it has for executions that state their resources; by default the machine's, no GPU."
    )
    provider: OrDefault[Literal["process"]] = Field("process", description="Where it runs: a process of this machine.")


class ManagedWorker(Model):
    """A worker as the worker manager sees it: what is its process doing?"""

    id: Id = Field(description="The worker's id.")
    type: str = Field(description="Its type; steps may require it, as a label.")
    name: str = Field(description="What people call the worker.")
    status: WorkerProcessStatus = Field(description="What its process does.")
    provider: str = Field(description="Where it runs.")
    labels: dict[str, str] = Field(description="What steps may require of it.")
    slots: int = Field(description="How many executions run there at once.")
    pid: int | None = Field(description="Its process id, on the worker manager's machine.")
    stop_requested: Literal["drain", "force"] | None = Field(
        description="How it was asked to stop over REST; null while no stop was requested."
    )
    exit_code: int | None = Field(description="Its process's exit code; 128 + N when signal N ended it.")
    detail: str | None = Field(description="How it ended, in words.")
    created_at: Timestamp = Field(description="When it was asked for.")
    started_at: Timestamp | None = Field(description="When its process started.")
    stopped_at: Timestamp | None = Field(description="When its process was gone.")


class ManagedWorkerState(Model):
    """What a worker's process does."""

    id: Id = Field(description="The worker's id.")
    status: WorkerProcessStatus = Field(description="What its process does.")


class ManagedWorkerQuery(LabelQuery):
    status: WorkerProcessStatus | None = Field(None, description="Only workers of this status.")
    type: str | None = Field(None, description="Only workers of this type.")
    name: str | None = Field(None, description="Only workers of exactly this name.")
    provider: str | None = Field(None, description="Only workers of this provider.")


class StopQuery(Model):
    force: bool = Field(False, description="Stop now; what runs there is queued again.")
