"""What the environment may say to the worker manager, beyond what every service understands."""

import os
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from shared.service import GivenCapacity, Port, ServiceSettings
from shared.worker_ttl import WorkerTtl


class WorkerManagerSettings(ServiceSettings):
    """The worker manager's own variables."""

    service: ClassVar[str] = "worker_manager"

    port: Port = Field(8082, validation_alias="WORKER_MANAGER_PORT")
    data_dir: Path = Field(Path(".hodei"), validation_alias="HODEI_DATA_DIR")
    worker_slots: int | None = Field(None, ge=1, le=10_000, validation_alias="HODEI_WORKER_SLOTS")

    worker_ttl: WorkerTtl = Field(None, validation_alias="HODEI_WORKER_TTL")
    worker_capacity: GivenCapacity = Field(None, validation_alias="HODEI_WORKER_CAPACITY")

    @property
    def workers_folder(self) -> Path:
        """Where the workers' logs and state are kept, and what makes them ours."""
        return self.data_dir.absolute() / "workers"

    @property
    def default_slots(self) -> int:
        """How many executions a worker runs at once when nobody says: they wait more than they compute."""
        return self.worker_slots or max(8, 2 * (os.cpu_count() or 1))
