"""Answering with what executions wrote: the whole of it, as JSON or as text, piece by piece.

The lines live in JetStream. Here: reading them to their end and printing them. Not here: which executions there are
and what is said beside a line (each service's route), live streams (the same, on `sse`).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson
from aiohttp import web

from schemas.events import LogChunk, LogLine
from schemas.model import rfc3339
from shared.bus import Bus
from shared.web.pieces import send_pieces
from shared.web.responses import JSON

LATE_CHUNKS: Final = 2.0
"""Seconds to wait for chunks that are counted but not there yet, or no more."""
UNCOUNTED: Final = 1 << 30
"""In place of a number of chunks that nobody knows: read until nothing comes any more."""

PLAIN: Final = "text/plain"


@dataclass(frozen=True, slots=True)
class Log:
    """One execution's. `chunks` is how many it wrote, None while that is not known; `beside` is said of each line."""

    execution_id: str
    chunks: int | None
    truncated: bool
    beside: Mapping[str, object] = field(default_factory=dict)

    def line(self, line: LogLine) -> bytes:
        """A line as a JSON object."""
        said = {"timestamp": rfc3339(line.timestamp), **self.beside, "stream": line.stream, "message": line.message}
        return orjson.dumps(said)


async def send_logs(
    request: web.Request, bus: Bus, logs: Sequence[Log], *, name: str, owner: str
) -> web.StreamResponse:
    """Answer with these logs one after the other: as text where that is accepted, or else as a JSON object of the
    `owner` by `name`, `logs` and `truncated`."""
    if PLAIN in request.headers.get("Accept", ""):
        return await send_pieces(request, f"{PLAIN}; charset=utf-8", _as_text(bus, logs))
    return await send_pieces(request, JSON, _as_json(bus, logs, orjson.dumps({name: owner})))


async def _as_text(bus: Bus, logs: Sequence[Log]) -> AsyncIterator[bytes]:
    for log in logs:
        for chunk in await _chunks(bus, log):
            yield "".join(f"{line.message}\n" for line in chunk.lines).encode()


async def _as_json(bus: Bus, logs: Sequence[Log], owner: bytes) -> AsyncIterator[bytes]:
    truncated, between = False, b""
    yield b'%b,"logs":[' % owner[:-1]
    for log in logs:
        chunks = await _chunks(bus, log)
        truncated = truncated or log.truncated or (log.chunks is not None and len(chunks) < log.chunks)
        for chunk in chunks:
            if chunk.lines:
                yield between + b",".join([log.line(line) for line in chunk.lines])
                between = b","
    yield b'],"truncated":%b}' % (b"true" if truncated else b"false")


async def _chunks(bus: Bus, log: Log) -> list[LogChunk]:
    """What there is, in order; of an execution that is over everything, for whose last chunks it waits a little."""
    found: list[LogChunk] = []
    if log.chunks == 0:
        return found
    counted = log.chunks is not None
    async with bus.read_log(log.execution_id, follow=counted, until_chunks=log.chunks) as reader:
        while True:
            try:
                async with asyncio.timeout(LATE_CHUNKS):
                    found.append(await anext(reader))
            except (StopAsyncIteration, TimeoutError):
                return sorted(found, key=lambda chunk: chunk.seq)
