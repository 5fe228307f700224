"""The settings that the scheduler reads from its environment, beside those of every service."""

from typing import ClassVar

from pydantic import Field

from shared.service import Port, ServiceSettings
from shared.worker_settings import WorkerTtl


class SchedulerSettings(ServiceSettings):
    """The scheduler's own variables."""

    service: ClassVar[str] = "scheduler"

    port: Port = Field(default=8081, validation_alias="SCHEDULER_PORT")
    worker_ttl: WorkerTtl = None
