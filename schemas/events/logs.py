"""The output of commands on the bus, published by the agent: chunks of lines, each a message of its own."""

from typing import Literal

from pydantic import Field

from schemas.events.base import EventData
from schemas.model import EventModel, Instant


class LogGap(EventModel):
    """Output that is missing from a log: the number of bytes, and of line ends among them."""

    bytes: int = Field(description="How many bytes are missing.")
    lines: int = Field(description="How many line ends are among them.")


class LogLine(EventModel):
    """One line of output without its end, a piece of one, or a message of the platform (`system`).

    A line that is longer than 16 KiB, has not ended after a quarter of a second, or never ends is written as
    pieces: each has `partial`, and the stream's next entry continues the line. `schemas.output.written` turns an
    entry back into the bytes of the command.
    """

    timestamp: Instant
    stream: Literal["stdout", "stderr", "system"]
    message: str = Field(description="As text: U+FFFD replaces a NUL and bytes that are not UTF-8.")
    partial: bool | None = Field(
        None, description="True when no newline followed: the line goes on in the next entry of its stream."
    )
    crlf: bool | None = Field(None, description="True when the line ended with CR LF and not with LF alone.")
    base64: str | None = Field(
        None, description="The original bytes of the message (without a line end), if its UTF-8 has others."
    )
    remark: str | None = Field(
        None,
        description="What a system line is about. `held_back`: the output is long, and only its end will follow. "
        "`left_out`: output over the limit is missing here. `lost`: output that could not be delivered is. "
        "`ended`: processes that kept the output open after the command's exit were ended.",
    )
    missing: LogGap | None = Field(None, description="How much output is missing at this line.")


class LogChunk(EventData):
    """Lines that were written together; `seq` counts an execution's chunks from 1.

    `offset` and `first_line` are its position in the output: how many bytes were written before it, on both
    streams together and with those that are missing from the log, and the number of the line (from 1) that its first
    byte belongs to. A remark counts for no bytes and lines except those in its `missing`.
    """

    event_type = "logs.appended"
    execution_id: str
    seq: int
    stands_for: int = Field(
        1,
        ge=1,
        le=1_000_000,
        description="How many chunk numbers this chunk covers; more than 1 if earlier chunks were dropped.",
    )
    lines: list[LogLine]
    offset: int | None = None
    first_line: int | None = None

    def entity_id(self) -> str:
        return self.execution_id
