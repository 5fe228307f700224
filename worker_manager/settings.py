"""The settings that the worker manager reads from its environment, beside those of every service."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from schemas.specs import default_slots
from shared.retention_settings import HOUR, age
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
    issuer_dir: Path | None = Field(default=None, validation_alias="HODEI_ISSUER_DIR")
    bootstrap_join_tokens: Path | None = Field(default=None, validation_alias="HODEI_BOOTSTRAP_JOIN_TOKENS")
    retention_executions: Annotated[timedelta | None, BeforeValidator(age(HOUR))] = Field(
        default=timedelta(days=90), validation_alias="HODEI_RETENTION_EXECUTIONS"
    )

    @property
    def workers_folder(self) -> Path:
        """Where the logs and the state of this worker manager's workers are kept."""
        return self.data_dir.absolute() / "workers"
