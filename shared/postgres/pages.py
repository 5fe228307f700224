"""A page of a list, as stores return it. Responses and cursors are made in `shared.web.paging`."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.postgres.connection import Record


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as JSON text, and the id after which the next page starts, None on the last page."""

    rows: Sequence[str]
    last: str | None = None

    @classmethod
    def of(cls, records: Sequence[Record], limit: int) -> "Page":
        """A page of at most `limit` rows, from up to `limit` + 1 records (`body`, `id`)."""
        kept = records[:limit]
        return cls([row["body"] for row in kept], kept[-1]["id"] if len(records) > limit else None)
