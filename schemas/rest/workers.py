"""Workers over REST, as the scheduler and as the worker manager show them."""

from typing import Literal

from pydantic import Field

from schemas.model import Model, Name, Timestamp
from schemas.rest.lists import PageQuery
from schemas.specs import Capacity, Labels, Resources
from schemas.states import WorkerProcessStatus, WorkerStatus


class WorkerRegister(Model):
    """Scheduler: make a worker known. Without an agent behind it, it is listed and never sent anything."""

    type: str = Field("default", min_length=1, max_length=100, examples=["rust"])
    name: Name | None = None
    labels: Labels = Field(default_factory=dict)
    capacity: Resources | None = None


class RegisteredWorker(Model):
    """A worker as the scheduler sees it: may work be placed there?"""

    id: str
    type: str
    name: str
    status: WorkerStatus
    labels: dict[str, str]
    capacity: Resources | None
    slots: int
    busy: int = Field(description="How many executions are placed there.")
    has_agent: bool
    registered_at: Timestamp
    last_heartbeat: Timestamp | None


class RegisteredWorkerQuery(PageQuery):
    status: WorkerStatus | None = None
    type: str | None = None
    name: str | None = None


class WorkerHeartbeat(Model):
    """Optional news in a heartbeat over REST."""

    labels: Labels | None = None


class WorkerStart(Model):
    """Worker manager: start a real worker process."""

    type: str = Field("default", min_length=1, max_length=100, examples=["rust"])
    name: Name | None = None
    labels: Labels = Field(default_factory=dict)
    slots: int | None = Field(None, ge=1, le=10_000, description="How many executions run at once.")
    capacity: Capacity | None = Field(
        None, description="What it has for executions that state their resources; by default the machine's, no GPU."
    )
    provider: Literal["process"] = "process"


class ManagedWorker(Model):
    """A worker as the worker manager sees it: what is its process doing?"""

    id: str
    type: str
    name: str
    status: WorkerProcessStatus
    provider: str
    labels: dict[str, str]
    slots: int
    pid: int | None
    exit_code: int | None
    detail: str | None
    created_at: Timestamp
    started_at: Timestamp | None
    stopped_at: Timestamp | None


class ManagedWorkerState(Model):
    id: str
    status: WorkerProcessStatus


class ManagedWorkerQuery(PageQuery):
    status: WorkerProcessStatus | None = None
    type: str | None = None
    name: str | None = None


class StopQuery(Model):
    force: bool = Field(False, description="Stop now; what runs there is queued again.")
