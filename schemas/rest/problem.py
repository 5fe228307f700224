"""What an error looks like: RFC 9457 problem details."""

from pydantic import Field

from schemas.model import EventModel


class FieldProblem(EventModel):
    """One thing that is wrong with a request, and where."""

    loc: list[str | int] = Field(description='The way to the field: ["body", "steps", 0, "name"].')
    msg: str
    type: str


class Problem(EventModel):
    """RFC 9457 problem details, served as application/problem+json."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path that was asked for.")
    request_id: str | None = Field(None, description="The `X-Request-ID` of the answer; the log lines carry it, too.")
    trace_id: str | None = Field(None, description="The trace that the request belongs to, if there is one.")
    errors: list[FieldProblem] | None = Field(None, description="For 422: every field that is wrong.")
