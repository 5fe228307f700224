"""The query parameters of every list."""

from typing import Self

from pydantic import Field, model_validator

from schemas.model import Model
from schemas.specs import LabelFilter


def pairs(filters: list[LabelFilter] | None) -> dict[str, str]:
    """The labels that a row must have, from repeated KEY=VALUE."""
    return dict(pair.split("=", 1) for pair in filters or ())


def check_pairs(name: str, filters: list[LabelFilter] | None) -> None:
    """Raises ValueError for a key with two values."""
    if len(pairs(filters)) < len(set(filters or ())):
        raise ValueError(f"{name}: one key is given with two values; no entry has both")


class PageQuery(Model):
    """Paging: newest first; follow the `Link: <…>; rel="next"` header."""

    limit: int = Field(100, ge=1, le=1000, description="The most entries in one page.")
    cursor: str | None = Field(
        None, max_length=500, description="The cursor of the previous page's `Link` header; opaque."
    )


class LabelQuery(PageQuery):
    """Paging through entries that have labels."""

    label: list[LabelFilter] | None = Field(
        None,
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
