"""What an error looks like: RFC 9457 problem details."""

from typing import Annotated, Final

from pydantic import Field

from schemas.model import EventModel

MAX_DETAIL: Final = 2000
"""Characters of a text that says what is wrong. Longer ones end with an ellipsis."""
MAX_PART: Final = 100
"""Characters of a key of the request in the way to a field. Longer ones end with an ellipsis."""

# The limits are documented and not validated: a client reads the problems of every version.
_Part = Annotated[str, Field(json_schema_extra={"maxLength": MAX_PART})]


class FieldProblem(EventModel):
    """One thing that is wrong with a request, and where."""

    loc: list[_Part | int] = Field(description='The way to the field: ["body", "steps", 0, "name"].')
    msg: str = Field(description="What is wrong, in words.", json_schema_extra={"maxLength": MAX_DETAIL})
    type: str = Field(description="What is wrong, for programs.")


class Problem(EventModel):
    """RFC 9457 problem details, served as application/problem+json."""

    type: str = Field("about:blank", description="The kind of problem: none beyond the HTTP status.")
    title: str = Field(description="The HTTP status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(
        description="What went wrong this time, and what would be right; over-long values are shortened.",
        json_schema_extra={"maxLength": MAX_DETAIL},
    )
    instance: str = Field(description="The path that was asked for.")
    request_id: str | None = Field(None, description="The `X-Request-ID` of the answer; the log lines carry it, too.")
    trace_id: str | None = Field(None, description="The trace that the request belongs to, if there is one.")
    errors: list[FieldProblem] | None = Field(None, description="For 422: every field that is wrong.")
