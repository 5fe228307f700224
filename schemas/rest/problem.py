"""The form of an error: RFC 9457 problem details."""

from typing import Annotated, Final

from pydantic import Field

from schemas.model import EventModel

MAX_DETAIL: Final = 2000
"""Most characters of an error message. Longer ones end with an ellipsis."""
MAX_PART: Final = 100
"""Most characters of a key in the path to a field. Longer ones end with an ellipsis."""

# The limits are documented and not validated: a client reads the problems of every version.
_Part = Annotated[str, Field(json_schema_extra={"maxLength": MAX_PART})]


class FieldProblem(EventModel):
    """One error in a request, with the field that it is about."""

    loc: list[_Part | int] = Field(description='The path to the field: `["body", "steps", 0, "name"]`.')
    msg: str = Field(description="A message about the error.", json_schema_extra={"maxLength": MAX_DETAIL})
    type: str = Field(description="The kind of error, for programs.")
    line: int | None = Field(None, description="Where it is in a text that the request contains: the line, from 1.")
    column: int | None = Field(None, description="The column in that line, from 1, in characters.")


class Problem(EventModel):
    """RFC 9457 problem details, served as application/problem+json."""

    type: str = Field("about:blank", description="The kind of problem, as a URN such as `urn:hodei:problem:not-found`.")
    title: str = Field(description="The HTTP status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(
        description="What is wrong with this request, and what would be valid; long values are shortened.",
        json_schema_extra={"maxLength": MAX_DETAIL},
    )
    instance: str = Field(description="The path of the request.")
    request_id: str | None = Field(
        None, description="The `X-Request-ID` of the response; the service's log lines contain it as well."
    )
    trace_id: str | None = Field(None, description="The id of the request's trace, if it has one.")
    errors: list[FieldProblem] | None = Field(None, description="For 422: all invalid fields.")
    role: str | None = Field(None, description="For 401 and 403: the lowest role that would do.")
