"""Responses with the logs of executions, whole or in part, as JSON or as text, sent in pieces.

Here: formatting entries, and what a query asks for. Not here: choosing executions and the extra members of a line (each
service's route), live streams (the routes too, on `sse`), reading entries from JetStream (`shared.transcript`,
`shared.excerpts`).
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson
from aiohttp import web

from schemas.model import rfc3339
from schemas.output import written
from schemas.rest.logs import LogQuery
from shared.bus import Bus
from shared.containing import Containing
from shared.errors import FieldError, Invalid
from shared.excerpts import Excerpt, Excerpts
from shared.transcript import ASIDE, Entries, Entry, Log, Transcript, Visit
from shared.web.pieces import send_pieces
from shared.web.responses import JSON

PLAIN: Final = "text/plain"
SPEAKER: Final = "hodei: "
"""The prefix of a remark in plain text, which tells it apart from output."""

LIMIT: Final = 1000
"""The most lines of a part of a log, unless the request names another number."""
AT_ONCE: Final = 500
"""Entries that are formatted before other requests get their turn."""


@dataclass(frozen=True, slots=True)
class Page:
    """One execution's log in a response; each of its JSON lines also has the members `beside`."""

    log: Log
    truncated: bool = False
    beside: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a response is about: the member `name` of its JSON has the id `owner`. `running` is whether more output may
    follow, and `file` the name of a file with the text."""

    name: str
    owner: str
    running: bool
    file: str


def json_entry(entry: Entry, beside: Mapping[str, object]) -> bytes:
    """An entry as a JSON object."""
    line = entry.line
    shown: dict[str, object] = {} if entry.number is None else {"line": entry.number}
    shown |= {"timestamp": rfc3339(line.timestamp), **beside, "stream": line.stream, "message": line.message}
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


_ABOUT_LINES: Final = ("from_line", "since", "limit", "q", "stream")
"""The members of a query that are about the lines of one execution."""
_BEGINNINGS: Final = ("from_line", "since")
"""Those with which a live stream may begin."""


def check_query(query: LogQuery, *, live: bool) -> None:
    """Raises Invalid for members that do not go together, or not with a live stream."""
    given, errors = _given(query, _ABOUT_LINES), []
    if query.tail is not None and given:
        errors.append(("tail", f"cannot be combined with {', '.join(given)}"))
    if query.q is None and "case" in query.model_fields_set:
        errors.append(("case", "is about q, which is missing"))
    if live:
        download = ["download"] if query.download else []
        aside = [*(name for name in given if name not in _BEGINNINGS), *download]
        errors += [(name, "does not apply to a live stream, which takes from_line, since or tail") for name in aside]
        if not query.follow:
            beginnings = _given(query, (*_BEGINNINGS, "tail"))
            errors += [(name, "does not apply to a stream with follow=false") for name in beginnings]
    elif "follow" in query.model_fields_set:
        errors.append(("follow", "is about an event stream: send Accept: text/event-stream"))
    _refuse(errors)


def check_one_execution(query: LogQuery, executions: int, *, live: bool) -> None:
    """Raises Invalid if the query is about the lines of one execution, and there are several."""
    given = _given(query, ("from_line",) if live else _ABOUT_LINES)
    if given and executions > 1:
        how = "choose one with step, attempt, index or execution_id"
        _refuse([(given[0], f"is about the output of one execution, and this has that of {executions}: {how}")])


def _given(query: LogQuery, names: Sequence[str]) -> list[str]:
    return [name for name in names if getattr(query, name) is not None]


def _refuse(errors: Sequence[tuple[str, str]]) -> None:
    if errors:
        raise Invalid([FieldError(("query", name), words, "conflict") for name, words in errors])


async def read_excerpts(bus: Bus, logs: Sequence[Log], query: LogQuery) -> list[Excerpt | None] | None:
    """The part of each log that a query asks for; None for those before the last lines, and for all if no line is
    wanted. None if it asks for all of them. Raises BusUnavailable."""
    excerpts = Excerpts(bus)
    if query.tail is not None:
        return await excerpts.tails(logs, query.tail)
    if not _given(query, _ABOUT_LINES):
        return None
    return [await _read(excerpts, log, query) for log in logs]


async def _read(excerpts: Excerpts, log: Log, query: LogQuery) -> Excerpt:
    from_line, limit = query.from_line or 1, query.limit or LIMIT
    if query.since is not None:
        from_line = max(from_line, await excerpts.line_since(log, query.since))
    if query.q is None and query.stream is None:
        return await excerpts.lines(log, from_line, limit)
    containing = Containing(query.q or "", ignore_case=query.case == "ignore", stream=query.stream)
    return await excerpts.search(log, from_line, limit, containing)


async def send_logs(
    request: web.Request, bus: Bus, pages: Sequence[Page], query: LogQuery, shown: Shown
) -> web.StreamResponse:
    """Respond with these logs one after the other, or the part of them that the query asks for: as text if the request
    accepts that, or as a file, else as a JSON object."""
    check_one_execution(query, len(pages), live=False)
    found = await read_excerpts(bus, [page.log for page in pages], query)
    excerpts = None if found is None else [(page, part) for page, part in zip(pages, found, strict=True) if part]
    if query.download or PLAIN in request.headers.get("Accept", ""):
        entries = _whole(bus, pages) if excerpts is None else _parts(excerpts)
        pieces = _text_of(entries, line_by_line=query.q is not None)
        headers = {"Content-Disposition": f'attachment; filename="{shown.file}"'} if query.download else None
        return await send_pieces(request, f"{PLAIN}; charset=utf-8", pieces, headers=headers)
    return await send_pieces(
        request, JSON, _as_json(bus, pages, shown) if excerpts is None else _excerpts_as_json(excerpts, shown)
    )


async def _whole(bus: Bus, pages: Sequence[Page]) -> AsyncIterator[Entries]:
    visit = Visit()
    for page in pages:
        async for entries in Transcript(bus, page.log, visit=visit).parts():
            yield entries


async def _parts(excerpts: Iterable[tuple[Page, Excerpt]]) -> AsyncIterator[Entries]:
    for _, excerpt in excerpts:
        for start in range(0, len(excerpt.entries), AT_ONCE):
            yield list(excerpt.entries[start : start + AT_ONCE])


async def _text_of(parts: AsyncIterator[Entries], *, line_by_line: bool) -> AsyncIterator[bytes]:
    """The exact bytes that the executions wrote. Where some are missing, a remark on a line of its own says so. With
    `line_by_line`, an unfinished line is ended where output of the other stream follows: what was written between them
    is not part of the text."""
    at_start, stream = True, ""
    async for entries in parts:
        pieces: list[bytes] = []
        for entry in entries:
            line = entry.line
            if line.stream == "system":
                if line.remark in ASIDE:
                    continue
                piece = b"%b%b%b\n" % (b"" if at_start else b"\n", SPEAKER.encode(), line.message.encode())
            else:
                piece = written(line)
                if line_by_line and not at_start and stream != line.stream:
                    pieces.append(b"\n")
                stream = line.stream
            pieces.append(piece)
            at_start = piece.endswith(b"\n") if piece else at_start
        yield b"".join(pieces)


async def _as_json(bus: Bus, pages: Sequence[Page], shown: Shown) -> AsyncIterator[bytes]:
    visit, truncated, expired = Visit(), False, False
    between = _opening(shown)  # sent with the first lines, so that an unavailable bus still gives a 503
    for page in pages:
        transcript = Transcript(bus, page.log, visit=visit)
        async for entries in transcript.parts():
            if entries:
                yield between + b",".join([json_entry(entry, page.beside) for entry in entries])
                between = b","
        truncated = truncated or page.truncated or transcript.missing
        expired = expired or transcript.expired
    flags = orjson.dumps({"truncated": truncated, "expired": expired, "running": shown.running})
    yield (b"" if between == b"," else between) + b"]," + flags[1:]


async def _excerpts_as_json(excerpts: Sequence[tuple[Page, Excerpt]], shown: Shown) -> AsyncIterator[bytes]:
    between = _opening(shown)
    for page, excerpt in excerpts:
        for start in range(0, len(excerpt.entries), AT_ONCE):
            lines = [json_entry(entry, page.beside) for entry in excerpt.entries[start : start + AT_ONCE]]
            yield between + b",".join(lines)
            between = b","
    one = excerpts[0][1] if len(excerpts) == 1 else None
    members = {
        "first_line": one and one.first_line,
        "next_line": one and one.next_line,
        "lines": one and one.lines,
        "bytes": one and one.bytes,
        "truncated": any(page.truncated or excerpt.truncated for page, excerpt in excerpts),
        "expired": any(excerpt.expired for _, excerpt in excerpts),
        "running": shown.running,
    }
    yield (b"" if between == b"," else between) + b"]," + orjson.dumps(members)[1:]


def _opening(shown: Shown) -> bytes:
    return b'%b,"logs":[' % orjson.dumps({shown.name: shown.owner})[:-1]
