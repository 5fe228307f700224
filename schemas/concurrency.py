"""How jobs with the same concurrency key, or of the same schedule, limit each other: as users write it, and as orders
carry it. The slots themselves are the orchestrator's.
"""

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints
from typing_extensions import TypeAliasType

from schemas.model import Model, OrDefault

MAX_CONCURRENCY: Final = 1000
"""The most jobs of one key that may be allowed to run at once."""
MAX_KEY_TEMPLATE: Final = 1000
"""The most characters of a concurrency key with its expressions."""
MAX_KEY: Final = 500
"""The most characters of a concurrency key whose expressions have been replaced."""
MAX_WAITING: Final = 10_000
"""The most jobs that may wait for one key."""

KeyTemplate = Annotated[str, StringConstraints(min_length=1, max_length=MAX_KEY_TEMPLATE)]
"""A concurrency key as users write it, with expressions over parameters. Keys are compared letter by letter."""

WhenFull = TypeAliasType("WhenFull", Literal["queue", "cancel_oldest", "cancel_newest", "reject"])
Overlap = TypeAliasType("Overlap", Literal["allow", "skip", "queue", "cancel_previous"])
"""What a schedule does when it is due and its former job is not over."""


class ConcurrencySpec(Model):
    """How many jobs with the same concurrency key run at once, and what happens to one more."""

    limit: OrDefault[int] = Field(
        1, ge=1, le=MAX_CONCURRENCY, description="How many jobs with the same key run at the same time."
    )
    when_full: OrDefault[WhenFull] = Field(
        "queue",
        description="What happens to a job beyond the limit. `queue`: it waits. `cancel_oldest`: the oldest of the "
        "others is cancelled. `cancel_newest`: the new job is cancelled. `reject`: it is not accepted.",
    )
