"""Why one service refuses what another asks of it.

A service that answers HTTP requests chooses the status code itself (`shared.web.verdicts`): no event or question
carries one.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Literal

from schemas.model import EventModel


class RefusalReason(StrEnum):
    """Why a service refuses what another asks of it."""

    NOT_FOUND = "not_found"
    """What the other service names does not exist."""
    FORBIDDEN = "forbidden"
    """It exists, and whoever asks may not do this with it."""
    CONFLICT = "conflict"
    """It exists, and its state does not allow what is asked."""
    INVALID = "invalid"
    """It can never be done as it is asked."""
    OVERLAP = "overlap"
    """Another job with the same key, or of the same schedule, is not over, and this one must not wait."""
    OVERLOADED = "overloaded"
    """A limit is reached. The same may be done later."""
    UNAVAILABLE = "unavailable"
    """The service cannot tell now, because it lacks something it needs."""


class RefusedField(EventModel):
    """One error of a request that is refused: its place in the body, outermost first, and what would be right."""

    loc: list[str | int]
    msg: str
    type: str


VerdictReason = Literal[
    RefusalReason.NOT_FOUND,
    RefusalReason.FORBIDDEN,
    RefusalReason.CONFLICT,
    RefusalReason.INVALID,
    RefusalReason.OVERLOADED,
]
"""Why the orchestrator refuses a direct execution."""
FiringRefusal = Literal[
    RefusalReason.NOT_FOUND,
    RefusalReason.FORBIDDEN,
    RefusalReason.CONFLICT,
    RefusalReason.INVALID,
    RefusalReason.OVERLAP,
    RefusalReason.OVERLOADED,
]
"""Why the orchestrator refuses a schedule or one of its firings."""

_OF_STATUS: Final[Mapping[int, RefusalReason]] = {
    404: RefusalReason.NOT_FOUND,
    409: RefusalReason.CONFLICT,
    422: RefusalReason.INVALID,
    503: RefusalReason.UNAVAILABLE,
}


def reason_of_status(data: object) -> object:
    """For refusals that were written before they had a `reason`: it follows from their `status`, an HTTP status code.

    To be called before validation with the parsed message; data of any other form is returned as it is.
    """
    if isinstance(data, Mapping) and "reason" not in data and data.get("status") in _OF_STATUS:
        return {**data, "reason": _OF_STATUS[data["status"]]}
    return data
