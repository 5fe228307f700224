"""/api/v1/events: the platform's events, live.

Each viewer reads the stream of events at its own pace, so that a slow one needs no memory here. A viewer that does
not read at all loses its connection (`shared.web.slow_clients`), and resumes with `Last-Event-ID`. All viewers together
get a share of the process's time, and read a limited number of bytes a second: under load they lag, and catch up later.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import orjson
from aiohttp import web

from orchestrator.feed import events_of
from orchestrator.store.timeline import NOT_SHOWN
from schemas.rest.events import EventQuery
from shared.access import calling
from shared.bus import Bus, StoredEvents
from shared.errors import BusUnavailable, Overloaded
from shared.web import EVENT_STREAM, GUARD, LAST_EVENT_ID, Answer, Api, EventStream

MOST_VIEWERS: Final = 100
"""The most open streams of one process. Each reads all events from NATS, whatever its filters."""
MOST_OF_ONE: Final = 50
"""The most of them with one token or, with access off, of one address."""
PACE: Final = 32 << 20
"""The bytes of events that all streams together read from NATS in a second, whatever they send of them."""
YIELDS: Final = 4.0
"""Seconds of rest for each second of decoding, so that the viewers together get a fifth of the process's time."""
MOST_EVENTS: Final = 999_999
"""More events than one message has."""
_POSITION: Final = re.compile(r"(\d{1,18})\.(\d{1,6})")


Shown = list[tuple[str, str, str]]
"""Events as they are sent: data, id and name of each."""


class Turns:
    """Lets one viewer at a time decode a message, and rests after it in proportion to the time that it took."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._reading = asyncio.Lock()

    async def take(self, work: Callable[[], Shown]) -> Shown:
        """Run `work` and return its result."""
        async with self._turn:
            began = time.perf_counter()
            result = work()
            await asyncio.sleep(YIELDS * (time.perf_counter() - began))
        return result

    async def rest_after(self, read: int) -> None:
        """Rest after so many bytes were read, also if no viewer wants them."""
        async with self._reading:
            await asyncio.sleep(read / PACE)


@dataclass
class EventRoutes:
    """The handler of the route."""

    bus: Bus
    turns: Turns = field(default_factory=Turns)
    viewers: Counter[str] = field(default_factory=Counter)
    """The open streams by token or address."""

    async def follow_feed(self, request: web.Request, query: EventQuery) -> web.StreamResponse:
        if self.viewers.total() >= MOST_VIEWERS:
            raise Overloaded(5.0, kind="streams", why=f"{MOST_VIEWERS} streams of events are open")
        viewer = _viewer(request)
        if self.viewers[viewer] >= MOST_OF_ONE:
            why = f"{MOST_OF_ONE} streams of events are open with this token, or from this address"
            raise Overloaded(5.0, kind="streams", why=why)
        self.viewers[viewer] += 1
        try:
            return await self._follow(request, query)
        finally:
            self.viewers[viewer] -= 1
            self.viewers += Counter()  # without those at zero

    async def _follow(self, request: web.Request, query: EventQuery) -> web.StreamResponse:
        seen = _position(request.headers.get(LAST_EVENT_ID, ""))
        after = None if seen is None else seen[0] - 1  # others of its batch may still be to come
        reader = self.bus.read_events(
            query.event_types(), after=after, since=query.since, follow=query.follow, pace=self.turns.rest_after
        )
        await reader.start()
        async with EventStream(request) as stream:
            if reader.gap:
                seen = None
            begin = None if seen or reader.begin is None else f"{reader.begin}.{MOST_EVENTS}"
            await stream.send("{}", event="gap" if reader.gap else "open", id=begin)
            # Without an `end`, the viewer resumes.
            with suppress(BusUnavailable):
                async for message in reader:
                    if all(id.encode() in message.payload for id in (query.job_id, query.worker_id) if id):
                        await stream.send_named(await self.turns.take(partial(_shown, message, query, seen)))
                if not query.follow:
                    await stream.send("{}", event="end")
        return stream.response


def _viewer(request: web.Request) -> str:
    """The token of a request; with access off, its address."""
    call = calling()
    return request.app[GUARD].address(request) if call is None or call.principal is None else call.principal.id


def _position(text: str) -> tuple[int, int] | None:
    found = _POSITION.fullmatch(text)
    return (int(found[1]), int(found[2])) if found else None


def _shown(message: StoredEvents, query: EventQuery, seen: tuple[int, int] | None) -> Shown:
    """The events of a message that a viewer wants and has not seen."""
    try:
        events = events_of(message.event_type, message.payload, message.worker_id)
    except ValueError:
        return []  # the consumers of the services count what is not a batch of events
    wanted = {name: id for name, id in (("job_id", query.job_id), ("worker_id", query.worker_id)) if id}
    shown: Shown = []
    for number, (event_type, event) in enumerate(events, 1):
        data = event.get("data")
        if not isinstance(data, dict) or any(data.get(name) != id for name, id in wanted.items()):
            continue
        if seen is None or (message.seq, number) > seen:
            position = f"{message.seq}.{number}"
            data = {name: value for name, value in data.items() if name not in NOT_SHOWN}
            shown.append((orjson.dumps({"position": position, **event, "data": data}).decode(), position, event_type))
    return shown


def api(routes: EventRoutes) -> Api:
    """The route."""
    api = Api(tag="events", description="The platform's events, live.")
    api.get(
        "/api/v1/events",
        summary="Follow the platform's events",
        query=EventQuery,
        answers={200: Answer(also=(EVENT_STREAM,))},
        description=(
            "A `text/event-stream` of the events that are on the feed (docs/events.md), each as a CloudEvents object "
            "with its `position`, without the members of `data` that may hold secrets (`run`, `target`, `inputs`, "
            "`outputs`); the name of a server-sent event is the type, such as `jobs.failed`. It begins with "
            "the next event, or with `since`, and resumes after `Last-Event-ID`. The first server-sent event is named "
            "`open`, or `gap` if events after that position may be missing: they are kept for 7 days. A client that "
            "does not read for 30 seconds is disconnected. With `follow=false`, one named `end` closes the stream when "
            "all events so far are sent."
        ),
    )(routes.follow_feed)
    return api
