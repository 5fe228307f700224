"""For how long a worker that is offline stays listed: HODEI_WORKER_TTL, or what suits the worker."""

from datetime import timedelta
from typing import Annotated, Final

from pydantic import Field

PASSING: Final = timedelta(hours=1)
"""Of a worker without a state folder: it never comes back under its id."""
DURABLE: Final = timedelta(days=7)
"""Of a worker with a state folder: it comes back as the same one."""

WorkerTtl = Annotated[float | None, Field(ge=1, le=366 * 24 * 3600.0)]
"""Seconds; by default PASSING or DURABLE."""


def time_to_live(given: float | None, *, durable: bool) -> timedelta:
    """How long a worker is kept after it was heard last."""
    if given is not None:
        return timedelta(seconds=given)
    return DURABLE if durable else PASSING
