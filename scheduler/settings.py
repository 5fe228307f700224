"""What the environment may say to the scheduler, beyond what every service understands."""

from typing import ClassVar

from pydantic import Field

from shared.service import Port, ServiceSettings
from shared.worker_ttl import WorkerTtl


class SchedulerSettings(ServiceSettings):
    """The scheduler's own variables."""

    service: ClassVar[str] = "scheduler"

    port: Port = Field(default=8081, validation_alias="SCHEDULER_PORT")
    worker_ttl: WorkerTtl = Field(default=None, validation_alias="HODEI_WORKER_TTL")
