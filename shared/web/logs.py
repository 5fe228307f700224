"""Responses with the whole logs of executions, as JSON or as text, sent in pieces.

Here: reading log lines to their end and formatting them. Not here: choosing executions and the extra members of a line
(each service's route), live streams (the routes too, on `sse`), reading lines from JetStream (`shared.transcript`).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson
from aiohttp import web

from schemas.events import LogLine
from schemas.model import rfc3339
from schemas.output import written
from shared.bus import Bus
from shared.transcript import ASIDE, Log, Transcript, Visit
from shared.web.pieces import send_pieces
from shared.web.responses import JSON

PLAIN: Final = "text/plain"
SPEAKER: Final = "hodei: "
"""The prefix of a remark in plain text, which tells it apart from output."""


@dataclass(frozen=True, slots=True)
class Page:
    """One execution's log in a response; each of its JSON lines also has the members `beside`."""

    log: Log
    truncated: bool
    beside: Mapping[str, object] = field(default_factory=dict)


def json_line(line: LogLine, beside: Mapping[str, object]) -> bytes:
    """A line as a JSON object."""
    shown: dict[str, object] = {
        "timestamp": rfc3339(line.timestamp),
        **beside,
        "stream": line.stream,
        "message": line.message,
    }
    if line.partial:
        shown["partial"] = True
    if line.crlf:
        shown["crlf"] = True
    if line.base64 is not None:
        shown["base64"] = line.base64
    if line.remark is not None:
        shown["remark"] = line.remark
    if line.missing is not None:
        shown["missing"] = {"bytes": line.missing.bytes, "lines": line.missing.lines}
    return orjson.dumps(shown)


async def send_logs(
    request: web.Request, bus: Bus, pages: Sequence[Page], *, name: str, owner: str
) -> web.StreamResponse:
    """Respond with these logs one after the other: as text if the request accepts that, else as a JSON object with the
    members `name` (whose value is `owner`), `logs`, `truncated` and `expired`."""
    if PLAIN in request.headers.get("Accept", ""):
        return await send_pieces(request, f"{PLAIN}; charset=utf-8", _as_text(bus, pages))
    return await send_pieces(request, JSON, _as_json(bus, pages, orjson.dumps({name: owner})))


async def _as_text(bus: Bus, pages: Sequence[Page]) -> AsyncIterator[bytes]:
    """The exact bytes that the executions wrote. Where some are missing, a remark on a line of its own says so."""
    visit, at_start = Visit(), True
    for page in pages:
        async for entries in Transcript(bus, page.log, visit=visit).parts():
            pieces: list[bytes] = []
            for line, _ in entries:
                if line.stream == "system":
                    if line.remark in ASIDE:
                        continue
                    piece = b"%b%b%b\n" % (b"" if at_start else b"\n", SPEAKER.encode(), line.message.encode())
                else:
                    piece = written(line)
                pieces.append(piece)
                at_start = piece.endswith(b"\n") if piece else at_start
            yield b"".join(pieces)


async def _as_json(bus: Bus, pages: Sequence[Page], owner: bytes) -> AsyncIterator[bytes]:
    visit, truncated, expired = Visit(), False, False
    between = b'%b,"logs":[' % owner[:-1]  # sent with the first lines, so that an unavailable bus still gives a 503
    for page in pages:
        transcript = Transcript(bus, page.log, visit=visit)
        async for entries in transcript.parts():
            if entries:
                yield between + b",".join([json_line(line, page.beside) for line, _ in entries])
                between = b","
        truncated = truncated or page.truncated or transcript.missing
        expired = expired or transcript.expired
    flags = orjson.dumps({"truncated": truncated, "expired": expired})
    yield (b"" if between == b"," else between) + b"]," + flags[1:]
