"""/api/v1/executions/{id}/logs: what an execution wrote, whole or live.

The lines live in JetStream. The execution's row has the number of chunks, by which a reader knows that it has read
everything. The end of a running execution is heard from the bus.
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from pydantic_core import to_json

from schemas.events import EventData, ExecutionFinished, ExecutionLost, ExecutionReturned
from schemas.rest.executions import ExecutionLogs
from schemas.rest.logs import LogQuery
from shared.bus import Bus, Listener, Listening
from shared.errors import NotFound
from shared.excerpts import Excerpts
from shared.transcript import START, Entries, Entry, Log, Place, Transcript, Visit
from shared.web import EVENT_STREAM, LAST_EVENT_ID, Answer, Api, EventStream
from shared.web.logs import PLAIN, Page, Shown, check_query, json_entry, read_excerpts, send_logs
from worker_manager.store.executions import ExecutionStore, LogState

FIRST_LOOK: Final = 0.05
LATER_LOOK: Final = 1.0
"""Seconds between two looks into the database of a live reader whose execution waits for a worker."""
LOOK_AGAIN: Final = 10.0
"""Seconds without an event after which a live reader looks into the database whether it missed the end."""


@dataclass(frozen=True, slots=True)
class LogRoutes:
    """The handler of the route. `ends` hears how executions end."""

    store: ExecutionStore
    bus: Bus
    ends: Listening[EventData]

    async def get_execution_logs(self, request: web.Request, id: str, query: LogQuery) -> web.StreamResponse:
        live = EVENT_STREAM in request.headers.get("Accept", "")
        check_query(query, live=live)
        if live:
            return await (self._follow(request, id, query) if query.follow else self._so_far(request, id))
        state = await self._state(id)
        shown = Shown("execution_id", id, running=not state.over, file=f"execution-{id}.log")
        return await send_logs(request, self.bus, [Page(_log(id, state), state.truncated)], query, shown)

    async def _state(self, id: str) -> LogState:
        state = await self.store.log_state(id)
        if state is None:
            raise NotFound("execution", id)
        return state

    async def _follow(self, request: web.Request, id: str, query: LogQuery) -> web.StreamResponse:
        # Listening comes before looking, so that the end cannot fall in between.
        with self.ends.about(id) as listener:
            state = await self._state(id)
            async with EventStream(request) as stream:
                place = Place.parse(stream.last_event_id or "")
                if place is None and state.worker_id is None and not state.over:
                    place = START  # nothing is written yet: wherever the stream should begin, it begins here
                    await stream.position(str(place))
                state = await self._placed(id, state, listener)
                log = _log(id, state)
                if place is None:
                    place = await self._begin(stream, log, query)
                    # A viewer that is cut off before the first line resumes here, not at another beginning.
                    await stream.position(str(place))
                transcript = Transcript(self.bus, log, visit=Visit(), place=place, follow=True)
                ending = asyncio.create_task(self._await_end(log, listener, transcript))
                try:
                    async for entries in transcript.parts():
                        await _send(stream, entries)
                    await stream.send(_end_of(id, transcript), event="end")
                finally:
                    ending.cancel()
                    await asyncio.wait([ending])
            return stream.response

    async def _so_far(self, request: web.Request, id: str) -> web.StreamResponse:
        """Send the output so far, as events from which a viewer resumes."""
        log = _log(id, await self._state(id))
        place = Place.parse(request.headers.get(LAST_EVENT_ID, "")) or START
        transcript = Transcript(self.bus, log, visit=Visit(), place=place)
        async with aclosing(transcript.parts()) as parts:
            first: Entries = await anext(parts, [])  # before the response begins: an unavailable bus gives a 503
            async with EventStream(request) as stream:
                await _send(stream, first)
                async for entries in parts:
                    await _send(stream, entries)
                await stream.send(_end_of(id, transcript), event="end")
        return stream.response

    async def _begin(self, stream: EventStream, log: Log, query: LogQuery) -> Place:
        """Send the part of the output with which a stream should begin. Returns the place after it."""
        place = START
        for part in await read_excerpts(self.bus, [log], query) or ():
            if part is None:  # no line is wanted
                place = await Excerpts(self.bus).end(log)
            else:
                await _send(stream, part.to_go_on())
                place = part.after
        return place

    async def _placed(self, id: str, state: LogState, listener: Listener[EventData]) -> LogState:
        """Wait until an execution is placed on a worker, whose chunks are then read, or is over."""
        pause = FIRST_LOOK
        while state.worker_id is None and not state.over:
            await listener.next(pause)
            pause = min(pause * 1.5, LATER_LOOK)
            state = await self._state(id)
        return state

    async def _await_end(self, log: Log, listener: Listener[EventData], transcript: Transcript) -> None:
        """Give the transcript the number of chunks as soon as it is known."""
        id, worker_id = log.execution_id, log.worker_id
        while not log.over:
            match await listener.next(LOOK_AGAIN):
                case ExecutionFinished() | ExecutionReturned() | ExecutionLost() as event if (
                    event.worker_id != worker_id
                ):
                    continue  # it is not about this worker's execution, whatever it says
                case ExecutionFinished() as event:
                    log = Log(id, worker_id, event.log.chunks, finished_at=event.finished_at)
                case ExecutionReturned():
                    log = Log(id, worker_id, 0)
                case ExecutionLost() as event:
                    log = Log(id, worker_id, None, finished_at=event.lost_at)
                case _:
                    state = await self.store.log_state(id)
                    log = Log(id, worker_id, None) if state is None else _log(id, state)
        transcript.finish(log)


def api(routes: LogRoutes) -> Api:
    """The route."""
    api = Api(tag="executions")
    api.get(
        "/api/v1/executions/{id}/logs",
        summary="Show an execution's output",
        query=LogQuery,
        answers={200: Answer(ExecutionLogs, also=(PLAIN, EVENT_STREAM))},
        description=(
            "As JSON, as `text/plain` (the bytes that the command wrote, both streams in the order of arrival), or "
            "live as `text/event-stream` until the execution is over, by the `Accept` header. A live stream sends one "
            "line, or one piece of a line, per event, resumes after `Last-Event-ID`, and closes with an event named "
            "`end`. Where output is missing, a line of the stream `system` reports it. `from_line`, `limit`, `tail` "
            "and `q` choose a part. With `follow=false`, the stream has the output so far, and ends."
        ),
    )(routes.get_execution_logs)
    return api


async def _send(stream: EventStream, entries: Sequence[Entry]) -> None:
    await stream.send_all([(json_entry(entry, {}).decode(), str(entry.after)) for entry in entries])


def _end_of(execution_id: str, transcript: Transcript) -> str:
    """The data of the last event of a stream."""
    return to_json({"execution_id": execution_id, "expired": transcript.expired}).decode()


def _log(execution_id: str, state: LogState) -> Log:
    return Log(
        execution_id,
        state.worker_id,
        chunks=state.chunks if state.over else None,
        over=state.over,
        finished_at=state.finished_at if state.over else None,
    )
