"""The settings that the orchestrator reads from its environment, besides those of every service."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from shared.retention_settings import HOUR, MINUTE, age, count
from shared.service import Port, ServiceSettings


class OrchestratorSettings(ServiceSettings):
    """The orchestrator's own variables."""

    service: ClassVar[str] = "orchestrator"

    port: Port = Field(default=8080, validation_alias="ORCHESTRATOR_PORT")
    limit_jobs: int = Field(default=100_000, ge=1, le=10_000_000, validation_alias="HODEI_LIMIT_JOBS")
    bootstrap_tokens: Path | None = Field(default=None, validation_alias="HODEI_BOOTSTRAP_TOKENS")
    feed: Literal["on", "off"] = Field(default="on", validation_alias="HODEI_FEED")
    retention_jobs: Annotated[timedelta | None, BeforeValidator(age(MINUTE))] = Field(
        default=timedelta(days=90), validation_alias="HODEI_RETENTION_JOBS"
    )
    retention_jobs_max: Annotated[int | None, BeforeValidator(count)] = Field(
        default=200_000, validation_alias="HODEI_RETENTION_JOBS_MAX"
    )
    retention_jobs_per_pipeline: Annotated[int | None, BeforeValidator(count)] = Field(
        default=20, validation_alias="HODEI_RETENTION_JOBS_PER_PIPELINE"
    )
    retention_timelines: Annotated[timedelta | None, BeforeValidator(age(MINUTE))] = Field(
        default=None, validation_alias="HODEI_RETENTION_TIMELINES"
    )
    retention_pipeline_versions: Annotated[timedelta | None, BeforeValidator(age(HOUR))] = Field(
        default=timedelta(days=90), validation_alias="HODEI_RETENTION_PIPELINE_VERSIONS"
    )
    retention_archived_pipelines: Annotated[timedelta | None, BeforeValidator(age(HOUR))] = Field(
        default=timedelta(days=90), validation_alias="HODEI_RETENTION_ARCHIVED_PIPELINES"
    )
