"""A page of a list, as stores give it. How it is answered, and what a cursor is, is `shared.web.paging`'s business."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.postgres.connection import Record


@dataclass(frozen=True, slots=True)
class Page:
    """Rows that are JSON already, and the id to go on after, None on the last page."""

    rows: Sequence[str]
    last: str | None = None

    @classmethod
    def of(cls, records: Sequence[Record], limit: int) -> "Page":
        """A page of at most `limit`, out of records (`body`, `id`) of which one more was asked for."""
        kept = records[:limit]
        return cls([row["body"] for row in kept], kept[-1]["id"] if len(records) > limit else None)
