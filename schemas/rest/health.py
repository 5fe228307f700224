"""What `GET /health` answers."""

from typing import Literal

from pydantic import Field

from schemas.model import Model


class Health(Model):
    """`degraded` still takes work; `unhealthy` (503) does not. `draining` (503) does, and is about to stop."""

    status: Literal["healthy", "degraded", "unhealthy", "draining"] = Field(description="What the checks come to.")
    service: str = Field(description="Which service answers.")
    version: str = Field(description="Its version.")
    checks: dict[str, Literal["up", "down"]] = Field(description="Each thing that the service needs.")


class Liveness(Model):
    """The process is there."""

    status: Literal["alive"] = Field("alive", description="Always the same.")
