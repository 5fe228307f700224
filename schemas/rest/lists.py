"""The query parameters of every list."""

from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from schemas.ids import is_id
from schemas.model import Model
from schemas.specs import LabelFilter


def pairs(filters: list[LabelFilter] | None) -> dict[str, str]:
    """The labels that a row must have, from repeated KEY=VALUE."""
    return dict(pair.split("=", 1) for pair in filters or ())


def check_pairs(name: str, filters: list[LabelFilter] | None) -> None:
    """Raises ValueError for a key with two values."""
    if len(pairs(filters)) < len(set(filters or ())):
        raise ValueError(f"{name}: one key is given with two values; no entry has both")


Who = Annotated[str | None, Field(max_length=200)]
"""A filter by who did something: the id or the name of the token."""


NameFilter = Annotated[str | None, Field(max_length=1000, examples=["nightly*"])]
"""A filter by a name: the whole name or, with a `*` at the end, its beginning."""
LAST_CHARACTER: Final = "\U0010ffff"


def of_name(value: str | None) -> dict[str, str | None]:
    """The values of `name`, or of `name_from` (inclusive) and `name_to` (exclusive) for a filter by a beginning. They
    are compared by code point, as PostgreSQL's `~>=~` and `~<~` do."""
    if value is None or not value.endswith("*"):
        return {"name": value, "name_from": None, "name_to": None}
    beginning = value[:-1].rstrip(LAST_CHARACTER)
    after = None
    if beginning:
        last = ord(beginning[-1]) + 1
        after = beginning[:-1] + chr(0xE000 if 0xD800 <= last <= 0xDFFF else last)
    return {"name": None, "name_from": value[:-1] or None, "name_to": after}


def of_actor(field: str, value: str | None) -> dict[str, str | None]:
    """The values of `<field>_id` and `<field>_name` for a filter by a token: a text that is an id is compared with the
    token's id, any other with its name."""
    named_by_id = value is not None and is_id(value.lower())
    return {
        f"{field}_id": value.lower() if value is not None and named_by_id else None,
        f"{field}_name": None if named_by_id else value,
    }


class PageQuery(Model):
    """Paging: newest first; follow the `Link: <…>; rel="next"` header."""

    limit: int = Field(100, ge=1, le=1000, description="The most entries in one page.")
    cursor: str | None = Field(
        None, max_length=500, description="The cursor of the previous page's `Link` header; opaque."
    )


class LabelFilters(Model):
    """The filter of entries that have labels."""

    label: list[LabelFilter] | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="Only entries with this label, as KEY=VALUE. May be repeated: entries must have all of them.",
    )

    def labels(self) -> dict[str, str]:
        """The labels that a row must have."""
        return pairs(self.label)

    @model_validator(mode="after")
    def _no_two_values(self) -> Self:
        check_pairs("label", self.label)
        return self


class LabelQuery(LabelFilters, PageQuery):
    """Paging through entries that have labels."""
