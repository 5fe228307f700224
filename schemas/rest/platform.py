"""The platform over REST: where its services are, which versions they have, and what is on."""

from typing import Literal

from pydantic import Field

from schemas.model import Model


class PlatformService(Model):
    """One of the three services."""

    name: Literal["orchestrator", "scheduler", "worker_manager"] = Field(description="The service.")
    url: str | None = Field(
        description="Its `HODEI_PUBLIC_URL`. Without one: the host of this request, with the service's port. While the "
        "service does not answer, the last one that is known; null if none is."
    )
    version: str | None = Field(description="Its version; null while it does not answer.")
    port: int | None = Field(description="The port on which it listens; null while it does not answer.")


class Platform(Model):
    """The platform as its services describe themselves."""

    namespace: str = Field(description="The first part of every subject on NATS.")
    access: Literal["on", "off"] = Field(description="Whether requests need a token.")
    version: str = Field(description="The version of this service.")
    lease_seconds: float = Field(
        description="A worker whose heartbeats stay away for so long is lost (`HODEI_LEASE_SECONDS`)."
    )
    services: list[PlatformService] = Field(description="The three services.")
    retention: dict[str, str] = Field(
        description="How long things are kept, or how many of them: the settings of the services by their variables "
        "(`90d`, `forever`, `unlimited`), those of services that do not answer left out."
    )
    features: dict[str, bool] = Field(
        description="What is on: `feed`, `tracing`, and `enrolment` of workers, which is left out while the worker "
        "manager does not answer."
    )
