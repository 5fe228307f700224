"""The response of `GET /health`."""

from typing import Literal

from pydantic import Field

from schemas.model import Model


class Health(Model):
    """`degraded` still accepts work; `unhealthy` (503) does not. `draining` (503) does, and is about to stop."""

    status: Literal["healthy", "degraded", "unhealthy", "draining"] = Field(
        description="The overall result of the checks."
    )
    service: str = Field(description="The service that answers.")
    version: str = Field(description="Its version.")
    access: Literal["on", "off"] = Field("off", description="Whether requests need a token.")
    checks: dict[str, Literal["up", "down"]] = Field(description="The result of each check.")


class Liveness(Model):
    """The process answers."""

    status: Literal["alive"] = Field("alive", description="Always `alive`.")
