"""/api/v1/executions/{id}/logs: what an execution wrote, whole or live.

The lines live in JetStream. The execution's row has the number of chunks, by which a reader knows that it has read
everything. The end of a running execution is heard from the bus.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from pydantic_core import to_json

from schemas.events import EventData, ExecutionFinished, ExecutionLost, ExecutionReturned
from schemas.rest.executions import ExecutionLogs
from shared.bus import Bus, Listener, Listening
from shared.errors import NotFound
from shared.transcript import START, Log, Place, Transcript, Visit
from shared.web import EVENT_STREAM, Answer, Api, EventStream
from shared.web.logs import PLAIN, Page, json_line, send_logs
from worker_manager.store.executions import ExecutionStore, LogState

LOOK_AGAIN: Final = 10.0
"""Seconds without an event after which a live reader looks into the database whether it missed the end."""


@dataclass(frozen=True, slots=True)
class LogRoutes:
    """The handler of the route. `ends` hears how executions end."""

    store: ExecutionStore
    bus: Bus
    ends: Listening[EventData]

    async def get_execution_logs(self, request: web.Request, id: str) -> web.StreamResponse:
        if EVENT_STREAM in request.headers.get("Accept", ""):
            return await self._follow(request, id)
        state = await self._state(id)
        pages = [Page(_log(id, state), state.truncated)]
        return await send_logs(request, self.bus, pages, name="execution_id", owner=id)

    async def _state(self, id: str) -> LogState:
        state = await self.store.log_state(id)
        if state is None:
            raise NotFound("execution", id)
        return state

    async def _follow(self, request: web.Request, id: str) -> web.StreamResponse:
        # Listening comes before looking, so that the end cannot fall in between.
        with self.ends.about(id) as listener:
            state = await self._state(id)
            async with EventStream(request) as stream:
                place = Place.parse(stream.last_event_id or "") or START
                log = _log(id, state)
                transcript = Transcript(self.bus, log, visit=Visit(), place=place, follow=True)
                ending = asyncio.create_task(self._await_end(log, listener, transcript))
                try:
                    async for entries in transcript.parts():
                        await stream.send_all([(json_line(line, {}).decode(), str(after)) for line, after in entries])
                    end = {"execution_id": id, "expired": transcript.expired}
                    await stream.send(to_json(end).decode(), event="end")
                finally:
                    ending.cancel()
                    await asyncio.wait([ending])
            return stream.response

    async def _await_end(self, log: Log, listener: Listener[EventData], transcript: Transcript) -> None:
        """Give the transcript the number of chunks as soon as it is known."""
        id = log.execution_id
        while not log.over:
            match await listener.next(LOOK_AGAIN):
                case ExecutionFinished() as event:
                    log = Log(id, event.log.chunks, finished_at=event.finished_at)
                case ExecutionReturned():
                    log = Log(id, 0)
                case ExecutionLost() as event:
                    log = Log(id, None, finished_at=event.lost_at)
                case _:
                    state = await self.store.log_state(id)
                    log = Log(id, None) if state is None else _log(id, state)
        transcript.finish(log)


def api(routes: LogRoutes) -> Api:
    """The route."""
    api = Api(tag="executions")
    api.get(
        "/api/v1/executions/{id}/logs",
        summary="Show an execution's output",
        answers={200: Answer(ExecutionLogs, also=(PLAIN, EVENT_STREAM))},
        description=(
            "As JSON, as `text/plain` (the bytes that the command wrote, both streams in the order of arrival), or "
            "live as `text/event-stream` until the execution is over, by the `Accept` header. A live stream sends one "
            "line, or one piece of a line, per event, resumes after `Last-Event-ID`, and closes with an event named "
            "`end`. Where output is missing, a line of the stream `system` reports it."
        ),
    )(routes.get_execution_logs)
    return api


def _log(execution_id: str, state: LogState) -> Log:
    return Log(
        execution_id,
        chunks=state.chunks if state.over else None,
        over=state.over,
        finished_at=state.finished_at if state.over else None,
    )
