"""The settings that the worker manager reads from its environment, beside those of every service."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from schemas.specs import default_slots
from shared.service import Port, ServiceSettings
from shared.worker_settings import WorkerCapacity, WorkerSlots, WorkerTtl


class WorkerManagerSettings(ServiceSettings):
    """The worker manager's own variables."""

    service: ClassVar[str] = "worker_manager"

    port: Port = Field(8082, validation_alias="WORKER_MANAGER_PORT")
    data_dir: Path = Field(Path(".hodei"), validation_alias="HODEI_DATA_DIR")
    worker_slots: WorkerSlots = Field(default_factory=default_slots)
    worker_capacity: WorkerCapacity = None
    worker_ttl: WorkerTtl = None

    @property
    def workers_folder(self) -> Path:
        """Where the logs and the state of this worker manager's workers are kept."""
        return self.data_dir.absolute() / "workers"
