"""What `GET /health` answers."""

from typing import Literal

from schemas.model import Model


class Health(Model):
    """`degraded` still takes work; `unhealthy` (503) does not."""

    status: Literal["healthy", "degraded", "unhealthy"]
    service: str
    version: str
    checks: dict[str, Literal["up", "down"]]


class Liveness(Model):
    status: Literal["alive"] = "alive"
