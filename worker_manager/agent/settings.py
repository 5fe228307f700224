"""The settings that an agent reads from its environment. `shared.service.settings` reads them."""

import socket
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from schemas.ids import UUID_PATTERN
from schemas.model import Name
from schemas.specs import MAX_PREFETCH, Labels, WorkerType, default_slots, read_labels
from shared.service import BusSettings
from shared.worker_settings import WorkerCapacity, WorkerSlots


def _labels(given: object) -> object:
    return read_labels(given) if isinstance(given, str) else given


class AgentSettings(BusSettings):
    """The agent's own variables: it uses the bus, and neither a database nor HTTP. Times are seconds, sizes bytes."""

    service: ClassVar[str] = "agent"

    worker_id: str | None = Field(default=None, pattern=UUID_PATTERN, validation_alias="HODEI_WORKER_ID")
    worker_name: Name = Field(default_factory=socket.gethostname, validation_alias="HODEI_WORKER_NAME")
    worker_type: WorkerType = Field(default="default", validation_alias="HODEI_WORKER_TYPE")
    labels: Annotated[Labels, NoDecode, BeforeValidator(_labels)] = Field(
        default_factory=dict, validation_alias="HODEI_WORKER_LABELS"
    )
    slots: WorkerSlots = Field(default_factory=default_slots)
    capacity: WorkerCapacity = None
    join: Path | None = Field(default=None, validation_alias="HODEI_JOIN")
    state_dir: Path | None = Field(default=None, validation_alias="HODEI_STATE_DIR")
    heartbeat: float = Field(default=3.0, gt=0, le=60, validation_alias="HODEI_HEARTBEAT_SECONDS")
    grace: float = Field(default=5.0, ge=0, le=3600, validation_alias="HODEI_GRACE_SECONDS")
    log_limit: int = Field(default=10 << 20, ge=256 << 10, le=1 << 30, validation_alias="HODEI_LOG_LIMIT")
    spool_limit: int = Field(default=256 << 20, ge=1 << 20, validation_alias="HODEI_SPOOL_LIMIT")
    prefetch_max: int = Field(default=256, ge=0, le=MAX_PREFETCH, validation_alias="HODEI_PREFETCH_MAX")
