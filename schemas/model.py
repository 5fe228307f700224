"""The base of every model here: what all of them share in how they parse and print."""

import re
import unicodedata
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticUseDefault, core_schema

T = TypeVar("T")

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 9998
_LABEL: Final = re.compile(r"\[|^constrained-str$")


class Model(BaseModel):
    """Immutable; unknown fields are refused, so that a misspelt option never passes silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_enum_values=False, serialize_by_alias=True)


class EventModel(BaseModel):
    """Immutable; unknown fields are ignored, so that an older consumer survives a newer producer."""

    model_config = ConfigDict(extra="ignore", frozen=True)


@lru_cache(maxsize=64)  # the events of one batch share their times
def rfc3339(moment: datetime) -> str:
    """Print an aware datetime as RFC 3339 in UTC with `Z` and microseconds: 2026-11-23T08:15:30.123456Z."""
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return f"{in_utc.isoformat(timespec='microseconds')[:-6]}Z"


_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d+)?)?([Zz]|[+-]\d\d:?\d\d)?")
_PLUS_LOST: Final = re.compile(r".*\d \d\d:?\d\d")


def _written_out(value: object) -> object:
    """A time is written as RFC 3339 has it. Pydantic takes digits for seconds or milliseconds since 1970, which puts
    20261127000000 centuries away.
    """
    if not isinstance(value, str):
        return value
    try:
        if _TIME.fullmatch(value):
            return datetime.fromisoformat(value.upper())
    except ValueError:
        pass  # the 30th of February, say
    hint = "; in a query, + is written %2B" if _PLUS_LOST.fullmatch(value) else ""
    raise ValueError(f"should be a time with a time zone, like 2026-11-28T12:00:00Z{hint}")


def _in_utc(moment: datetime) -> datetime:
    try:
        in_utc = moment.astimezone(UTC)
    except OverflowError:
        in_utc = None
    # The first and the last moment that Python knows mean infinity to PostgreSQL's driver.
    if in_utc is None or not FIRST_YEAR <= in_utc.year <= LAST_YEAR:
        raise ValueError(f"is outside the years {FIRST_YEAR} to {LAST_YEAR} in UTC")
    return in_utc


Timestamp = Annotated[
    AwareDatetime,
    BeforeValidator(_written_out),
    AfterValidator(_in_utc),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An aware time; in JSON, RFC 3339 in UTC with `Z`."""

Instant = AwareDatetime
"""An aware time in an event. Whoever says the event takes it from its clock in UTC, so nothing is converted, and it is
printed by pydantic itself (RFC 3339 with `Z`): a call back into Python for each time costs more than all the rest."""


class _NullIsAbsent:
    """Lets a field that has a default take `null` for it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(_or_default, core_schema.nullable_schema(handler(source)))


def _or_default(value: T | None) -> T:
    if value is None:
        raise PydanticUseDefault
    return value


OrDefault = Annotated[T, _NullIsAbsent()]
"""A field of a request with a default that is not null: `null` means absent there, as many JSON encoders write it."""

Id = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
"""A UUIDv7 as text, in answers and events. Requests name things by any text: what is not an id is not found."""

_BELONGS_TO_WRITING: Final = frozenset(
    "\u00ad\u200b\u200c\u200d\u2060"  # soft hyphen, places to break or not to break a line, joiners (Persian, emoji)
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"  # visible number signs
) | {chr(tag) for tag in range(0xE0020, 0xE0080)}  # the letters in the flags of England, Scotland and Wales
"""Format characters (Unicode category Cf) that a name may hold; the others control the direction of text."""
_ACTS: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories (Unicode, chapter 4.5) that act instead of being shown: controls, formats, lone surrogates, line ends."""


def acts(character: str) -> bool:
    """Tell whether a character controls a terminal, a line or the direction of text instead of being shown."""
    return unicodedata.category(character) in _ACTS and character not in _BELONGS_TO_WRITING


def on_one_line(text: str) -> str:
    """The text with the characters that act in a terminal, line ends above all, shown as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(repr(character)[1:-1] if acts(character) else character for character in text)


def without_controls(text: str) -> str:
    """The text itself. Raises ValueError where it has characters that act in a terminal."""
    if on_one_line(text) != text:
        raise ValueError("must not contain characters that control a terminal or the direction of text")
    return text


def _printable(text: str) -> str:
    without_controls(text)
    if not any(unicodedata.category(character) not in ("Zs", "Cf") for character in text):
        raise ValueError("must have a visible character")
    return text


Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
"""What people call a thing: shown in tables and logs, so that nothing in it may act there."""


def readable_location(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Where a validation error is, without pydantic's own labels for validators and members of unions, which no client
    ever wrote (`command.constrained-str`, `command.list[constrained-str].0`)."""
    return tuple(part for part in loc if isinstance(part, int) or not _LABEL.search(part)) or loc
