"""/api/v1/executions/{id}/logs: what an execution wrote, whole or live.

The lines live in JetStream; the execution's row knows how many chunks there are, and therefore when a reader has seen
everything. The end of a running execution is heard from the bus.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Final

import orjson
from aiohttp import web
from pydantic_core import to_json

from schemas.events import ExecutionFinished, ExecutionLost, ExecutionReturned, LogChunk, LogLine
from schemas.model import rfc3339
from schemas.rest.executions import ExecutionLogs
from shared.bus import Bus, LogReader
from shared.errors import NotFound
from shared.web.api import Api
from shared.web.openapi import Answer
from shared.web.pieces import send_pieces
from shared.web.responses import JSON
from shared.web.sse import EventStream
from worker_manager.announcements import Announcements, Listener
from worker_manager.store import ExecutionStore, LogState

LATE_CHUNKS: Final = 2.0
"""Seconds to wait for chunks that are counted but not there yet, or no more."""
LOOK_AGAIN: Final = 10.0
"""Seconds without a word after which a live reader asks the database whether it missed the end."""
UNCOUNTED: Final = 1 << 30
"""In place of a number of chunks that nobody knows: read until nothing comes any more."""

EVENT_STREAM: Final = "text/event-stream"
PLAIN: Final = "text/plain"

_EVENT_ID: Final = re.compile(r"^(\d{1,9})-(\d{1,9})$")


def api(store: ExecutionStore, bus: Bus, announcements: Announcements) -> Api:
    """The route; `announcements` hears how executions end."""
    api = Api(tag="executions")

    @api.get(
        "/api/v1/executions/{id}/logs",
        summary="Show an execution's output",
        answers={200: Answer(ExecutionLogs, also=(PLAIN, EVENT_STREAM))},
        description=(
            "As JSON, as `text/plain`, or live as `text/event-stream` until the execution is over, by the `Accept` "
            "header. A live stream sends one line per event, resumes after `Last-Event-ID`, and closes with an event "
            "named `end`."
        ),
    )
    async def get_execution_logs(request: web.Request, id: str) -> web.StreamResponse:
        accept = request.headers.get("Accept", "")
        if EVENT_STREAM in accept:
            return await _follow(request, id)
        state = await _state(id)
        if PLAIN in accept:
            return await send_pieces(request, f"{PLAIN}; charset=utf-8", _as_text(id, state))
        return await send_pieces(request, JSON, _as_json(id, state))

    async def _as_text(id: str, state: LogState) -> AsyncIterator[bytes]:
        for chunk in await _in_order(id, state):
            yield "".join(f"{line.message}\n" for line in chunk.lines).encode()

    async def _as_json(id: str, state: LogState) -> AsyncIterator[bytes]:
        """An `ExecutionLogs`."""
        chunks = await _in_order(id, state)
        missing = state.chunks is not None and len(chunks) < state.chunks
        between = b""
        yield b'{"execution_id":"%b","logs":[' % id.encode()
        for chunk in chunks:
            if chunk.lines:
                yield between + b",".join([_line(line) for line in chunk.lines])
                between = b","
        yield b'],"truncated":%b}' % (b"true" if state.truncated or missing else b"false")

    async def _in_order(id: str, state: LogState) -> list[LogChunk]:
        return sorted([chunk async for chunk in _written(id, state)], key=lambda chunk: chunk.seq)

    async def _state(id: str) -> LogState:
        state = await store.log_state(id)
        if state is None:
            raise NotFound("execution", id)
        return state

    async def _written(id: str, state: LogState) -> AsyncIterator[LogChunk]:
        """What there is; of a finished execution everything, for whose last chunks it waits a little."""
        if state.chunks == 0:
            return
        complete = state.over and state.chunks is not None
        async with bus.read_log(id, follow=complete, until_chunks=state.chunks if complete else None) as reader:
            while True:
                try:
                    yield await asyncio.wait_for(anext(reader), LATE_CHUNKS if complete else None)
                except (StopAsyncIteration, TimeoutError):
                    return

    async def _follow(request: web.Request, id: str) -> web.StreamResponse:
        # Listening comes before looking, so that the end cannot fall in between.
        with announcements.about(id) as listener:
            state = await _state(id)
            async with EventStream(request) as stream:
                chunk_seq, line_index = _resume_after(stream.last_event_id)
                async with bus.read_log(id, after=max(0, chunk_seq - 1)) as reader:
                    ending = asyncio.create_task(_await_end(id, state, listener, reader))
                    try:
                        async for chunk in reader:
                            for index, line in enumerate(chunk.lines):
                                if (chunk.seq, index) > (chunk_seq, line_index):
                                    await stream.send(_line(line).decode(), id=f"{chunk.seq}-{index}")
                        await stream.send(to_json({"execution_id": id}).decode(), event="end")
                    finally:
                        ending.cancel()
                        await asyncio.wait([ending])
            return stream.response

    async def _await_end(id: str, state: LogState | None, listener: Listener, reader: LogReader) -> None:
        """Tell the reader how many chunks there are, as soon as that is known."""
        while state is not None and not state.over:
            said = await listener.next(LOOK_AGAIN)
            match said:
                case ExecutionFinished():
                    return reader.finish(said.log.chunks)
                case ExecutionReturned():
                    return reader.finish(0)
                case ExecutionLost():
                    return reader.finish(UNCOUNTED)
                case _:
                    state = await store.log_state(id)
        reader.finish(UNCOUNTED if state is None or state.chunks is None else state.chunks)

    return api


def _line(line: LogLine) -> bytes:
    return orjson.dumps({"timestamp": rfc3339(line.timestamp), "stream": line.stream, "message": line.message})


def _resume_after(last_event_id: str | None) -> tuple[int, int]:
    """The chunk and line that a viewer saw last; from the beginning for an id that is none of ours."""
    found = _EVENT_ID.match(last_event_id or "")
    return (int(found[1]), int(found[2])) if found else (0, -1)
