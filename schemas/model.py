"""The base of every model here: what all of them share in how they parse and print."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, PlainSerializer, StringConstraints

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 9998
_LABEL: Final = re.compile(r"\[|^constrained-str$")


class Model(BaseModel):
    """Immutable; unknown fields are refused, so that a misspelt option never passes silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_enum_values=False)


class EventModel(BaseModel):
    """Immutable; unknown fields are ignored, so that an older consumer survives a newer producer."""

    model_config = ConfigDict(extra="ignore", frozen=True)


@lru_cache(maxsize=64)  # the events of one batch share their times
def rfc3339(moment: datetime) -> str:
    """Print an aware datetime as RFC 3339 in UTC with `Z` and microseconds: 2026-11-23T08:15:30.123456Z."""
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return f"{in_utc.isoformat(timespec='microseconds')[:-6]}Z"


def _in_utc(moment: datetime) -> datetime:
    try:
        in_utc = moment.astimezone(UTC)
    except OverflowError:
        in_utc = None
    # The first and the last moment that Python knows mean infinity to PostgreSQL's driver.
    if in_utc is None or not FIRST_YEAR <= in_utc.year <= LAST_YEAR:
        raise ValueError(f"lies outside the years {FIRST_YEAR} to {LAST_YEAR} in UTC")
    return in_utc


Timestamp = Annotated[
    AwareDatetime,
    AfterValidator(_in_utc),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
]
"""An aware time; in JSON, RFC 3339 in UTC with `Z`."""

Instant = AwareDatetime
"""An aware time in an event. Whoever says the event takes it from its clock in UTC, so nothing is converted, and it is
printed by pydantic itself (RFC 3339 with `Z`): a call back into Python for each time costs more than all the rest."""


def _printable(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("must have a visible character, and none that controls a terminal or the direction of text")
    return text


Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
"""What people call a thing: shown in tables and logs, so that nothing in it may act there."""


def readable_location(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Where a validation error is, without pydantic's own labels for validators and members of unions, which nobody
    ever wrote (`command.constrained-str`, `command.list[constrained-str].0`)."""
    return tuple(part for part in loc if isinstance(part, int) or not _LABEL.search(part)) or loc
