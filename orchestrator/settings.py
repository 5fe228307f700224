"""What the environment may say to the orchestrator, beyond what every service understands."""

from typing import ClassVar

from pydantic import Field

from shared.service import Port, ServiceSettings


class OrchestratorSettings(ServiceSettings):
    """The orchestrator's own variables."""

    service: ClassVar[str] = "orchestrator"

    port: Port = Field(default=8080, validation_alias="ORCHESTRATOR_PORT")
