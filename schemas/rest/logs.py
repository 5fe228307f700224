"""Output over REST: the query of the routes that show it, and what their responses have in common."""

from typing import Final, Literal

from pydantic import Field

from schemas.model import Model, Timestamp

MOST_LINES: Final = 5000
"""The most lines that one response has, if the request names a number at all."""


class LogQuery(Model):
    """Which part of the output to show; without any of these, all of it."""

    from_line: int | None = Field(
        None,
        ge=1,
        le=2**53,
        description="Only lines from this number on. A live stream begins there, or at its end so far.",
    )
    since: Timestamp | None = Field(
        None, description="Only lines from the first one on that was written at this time or later."
    )
    limit: int | None = Field(
        None,
        ge=1,
        le=MOST_LINES,
        description="The most lines to show, 1000 by default, from `from_line` or the first line on. The response has "
        "fewer if they exceed 4 MiB; `next_line` is where to go on.",
    )
    tail: int | None = Field(
        None,
        ge=0,
        le=MOST_LINES,
        description="Only so many lines at the end, or fewer if they exceed 4 MiB. A live stream begins with them: "
        "with 0, it sends only what is written from now on.",
    )
    q: str | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Only lines that contain this text, with all their pieces. If more than about 64 KiB of a line "
        "precede the match, a remark says that its beginning is not shown. A response searches at most 64 MiB; "
        "`next_line` is where to go on. If one line is longer than about 16 MiB, a remark says that its rest was not "
        "searched.",
    )
    case: Literal["ignore", "match"] = Field("ignore", description="Whether `q` ignores the case of letters.")
    stream: Literal["stdout", "stderr"] | None = Field(
        None, description="Only lines of this stream. It is searched for as `q` is."
    )
    download: bool = Field(False, description="Respond with the text as a file to save.")
    follow: bool = Field(
        True,
        description="Of an event stream: with `false`, it has the output so far, one execution after the other, and "
        "then ends.",
    )


class JobLogQuery(LogQuery):
    """Which executions of the job, and which part of their output, to show.

    `from_line`, `since`, `limit`, `q` and `stream` need the output of one execution; `tail` does not.
    """

    step: str | None = Field(None, max_length=200, description="Only this step.")
    attempt: int | None = Field(None, ge=1, le=2**31 - 1, description="Only this attempt of each step, from 1.")
    index: int | None = Field(
        None, ge=0, le=2**31 - 1, description="Only the tasks with this place in the matrix of their step, from 0."
    )
    execution_id: str | None = Field(None, max_length=36, description="Only this execution.")


class LogsShown(Model):
    """What a response with output says besides its lines. The members about lines are those of a part of the output of
    one execution, and null otherwise."""

    first_line: int | None = Field(None, description="The number of the first line here.")
    next_line: int | None = Field(None, description="`from_line` of the next part; null at the end of what is stored.")
    lines: int | None = Field(
        None, description="The lines that the execution has written so far, also those that are missing, if known."
    )
    bytes: int | None = Field(None, description="The same in bytes.")
    truncated: bool = Field(description="Whether any output is missing.")
    expired: bool = Field(False, description="Whether some of it is missing because it is no longer kept.")
    running: bool = Field(False, description="Whether more output may follow.")
