"""What every list route takes."""

from pydantic import Field

from schemas.model import Model


class PageQuery(Model):
    """Paging: newest first; follow the `Link: <…>; rel="next"` header."""

    limit: int = Field(100, ge=1, le=1000, description="How many at the most.")
    cursor: str | None = Field(None, max_length=500, description="Where the page before ended; opaque.")
