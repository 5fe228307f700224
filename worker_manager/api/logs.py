"""/api/v1/executions/{id}/logs: what an execution wrote, whole or live.

The lines live in JetStream; the execution's row knows how many chunks there are, and therefore when a reader has seen
everything. The end of a running execution is heard from the bus.
"""

import asyncio
import re
from typing import Final

from aiohttp import web
from pydantic_core import to_json

from schemas.events import ExecutionFinished, ExecutionLost, ExecutionReturned
from schemas.rest.executions import ExecutionLogs
from shared.bus import Bus, LogReader
from shared.errors import NotFound
from shared.web.api import Api
from shared.web.logs import PLAIN, UNCOUNTED, Log, send_logs
from shared.web.openapi import Answer
from shared.web.sse import EVENT_STREAM, EventStream
from worker_manager.announcements import Announcements, Listener
from worker_manager.store import ExecutionStore, LogState

LOOK_AGAIN: Final = 10.0
"""Seconds without a word after which a live reader asks the database whether it missed the end."""

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
        if EVENT_STREAM in request.headers.get("Accept", ""):
            return await _follow(request, id)
        state = await _state(id)
        log = Log(id, chunks=state.chunks if state.over else None, truncated=state.truncated)
        return await send_logs(request, bus, [log], name="execution_id", owner=id)

    async def _state(id: str) -> LogState:
        state = await store.log_state(id)
        if state is None:
            raise NotFound("execution", id)
        return state

    async def _follow(request: web.Request, id: str) -> web.StreamResponse:
        # Listening comes before looking, so that the end cannot fall in between.
        with announcements.about(id) as listener:
            state = await _state(id)
            async with EventStream(request) as stream:
                log = Log(id, chunks=None, truncated=False)
                chunk_seq, line_index = _resume_after(stream.last_event_id)
                async with bus.read_log(id, after=max(0, chunk_seq - 1)) as reader:
                    ending = asyncio.create_task(_await_end(id, state, listener, reader))
                    try:
                        async for chunk in reader:
                            for index, line in enumerate(chunk.lines):
                                if (chunk.seq, index) > (chunk_seq, line_index):
                                    await stream.send(log.line(line).decode(), id=f"{chunk.seq}-{index}")
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


def _resume_after(last_event_id: str | None) -> tuple[int, int]:
    """The chunk and line that a viewer saw last; from the beginning for an id that is none of ours."""
    found = _EVENT_ID.match(last_event_id or "")
    return (int(found[1]), int(found[2])) if found else (0, -1)
