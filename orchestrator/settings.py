"""The settings that the orchestrator reads from its environment, besides those of every service."""

from typing import ClassVar, Literal

from pydantic import Field

from shared.service import Port, ServiceSettings


class OrchestratorSettings(ServiceSettings):
    """The orchestrator's own variables."""

    service: ClassVar[str] = "orchestrator"

    port: Port = Field(default=8080, validation_alias="ORCHESTRATOR_PORT")
    feed: Literal["on", "off"] = Field(default="on", validation_alias="HODEI_FEED")
