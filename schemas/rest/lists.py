"""What every list route takes."""

from typing import Self

from pydantic import Field, model_validator

from schemas.model import Model
from schemas.specs import LabelFilter


def pairs(filters: list[LabelFilter] | None) -> dict[str, str]:
    """KEY=VALUE, repeated, as what a row must have."""
    return dict(pair.split("=", 1) for pair in filters or ())


def check_pairs(name: str, filters: list[LabelFilter] | None) -> None:
    """Raises ValueError for a key with two values."""
    if len(pairs(filters)) < len(set(filters or ())):
        raise ValueError(f"{name}: one key has two values, and nothing has both")


class PageQuery(Model):
    """Paging: newest first; follow the `Link: <…>; rel="next"` header."""

    limit: int = Field(100, ge=1, le=1000, description="How many at the most.")
    cursor: str | None = Field(None, max_length=500, description="Where the page before ended; opaque.")


class LabelQuery(PageQuery):
    """Paging through what has labels."""

    label: list[LabelFilter] | None = Field(
        None, max_length=64, description="Only those with this label, as KEY=VALUE; repeated: with all of them."
    )

    def labels(self) -> dict[str, str]:
        """The labels that a row must have."""
        return pairs(self.label)

    @model_validator(mode="after")
    def _no_two_values(self) -> Self:
        check_pairs("label", self.label)
        return self
