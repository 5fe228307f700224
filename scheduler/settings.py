"""The settings that the scheduler reads from its environment, beside those of every service."""

from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from shared.retention_settings import HOUR, age
from shared.service import Port, ServiceSettings
from shared.worker_settings import WorkerTtl


class SchedulerSettings(ServiceSettings):
    """The scheduler's own variables."""

    service: ClassVar[str] = "scheduler"

    port: Port = Field(default=8081, validation_alias="SCHEDULER_PORT")
    worker_ttl: WorkerTtl = None
    retention_schedules: Annotated[timedelta | None, BeforeValidator(age(HOUR))] = Field(
        default=timedelta(days=90), validation_alias="HODEI_RETENTION_SCHEDULES"
    )
    """For how long schedules are kept that are over; None for ever."""
