"""Settings of workers that several processes read, each declared once: the worker manager starts workers with them, an
agent reads its own, and the scheduler forgets offline workers after one of them.
"""

from datetime import timedelta
from typing import Annotated, Final

from pydantic import AliasChoices, BeforeValidator, Field
from pydantic_settings import NoDecode

from schemas.durations import read_duration
from schemas.specs import MAX_SLOTS, Capacity, read_capacity
from shared.retention_settings import FOREVER, LONGEST

WITHOUT_STATE_FOLDER: Final = timedelta(hours=1)
"""How long an offline worker without a state folder stays listed. It never comes back under its id."""
WITH_STATE_FOLDER: Final = timedelta(days=7)
"""How long an offline worker with a state folder stays listed. It may come back as the same worker."""


def _seconds(given: object) -> object:
    """A duration such as `7d`, `forever`, or a number of seconds."""
    text = given.strip() if isinstance(given, str) else ""
    if text == FOREVER:
        return LONGEST.total_seconds()
    duration = read_duration(text)
    return given if duration is None else duration.total_seconds()


WorkerTtl = Annotated[
    Annotated[float, Field(ge=1, le=LONGEST.total_seconds())] | None,
    BeforeValidator(_seconds),
    Field(
        validation_alias=AliasChoices("HODEI_RETENTION_WORKERS", "HODEI_WORKER_TTL"),  # the second is the older name
    ),
]
"""Seconds for which an offline worker stays listed; None for the default of its kind."""

WorkerSlots = Annotated[int, Field(ge=1, le=MAX_SLOTS, validation_alias="HODEI_WORKER_SLOTS")]
"""How many executions a worker runs at once; `schemas.specs.default_slots` has the default."""


def _capacity(given: object) -> object:
    return read_capacity(given) if isinstance(given, str) else given


WorkerCapacity = Annotated[
    Capacity | None, NoDecode, BeforeValidator(_capacity), Field(validation_alias="HODEI_WORKER_CAPACITY")
]
"""A worker's capacity for executions with `resources`. Missing members, or None, take the machine's values."""


def time_to_live(given: float | None, *, durable: bool) -> timedelta:
    """How long a worker stays listed after its last heartbeat. `durable` workers have a state folder."""
    if given is not None:
        return timedelta(seconds=given)
    return WITH_STATE_FOLDER if durable else WITHOUT_STATE_FOLDER
