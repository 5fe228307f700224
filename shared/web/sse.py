"""Server-sent events (WHATWG HTML, "Server-sent events").

Here: `EventStream`, one open stream, and the set of open streams, which shutdown ends. Not here: where the events come
from.
"""

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from shared.web.guard import GUARD
from shared.web.load import LOAD
from shared.web.slow_clients import WRITE_DEADLINE, write_deadline

EVENT_STREAM: Final = "text/event-stream"
LAST_EVENT_ID: Final = "Last-Event-ID"

_HEADERS: Final = {
    "Content-Type": f"{EVENT_STREAM}; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


class OpenStreams:
    """The open streams of one application."""

    def __init__(self) -> None:
        self._streams: set[EventStream] = set()

    def add(self, stream: "EventStream") -> None:
        self._streams.add(stream)

    def discard(self, stream: "EventStream") -> None:
        self._streams.discard(stream)

    async def close(self, _app: web.Application) -> None:
        """End all streams at shutdown; clients reconnect, to another replica or later."""
        for stream in tuple(self._streams):
            stream.close()


OPEN_STREAMS: Final = web.AppKey("open_streams", OpenStreams)


class EventStream:
    """One client's stream of events, for as long as the `async with` block runs.

        async with EventStream(request) as stream:
            async for event in events:
                await stream.send(event.json, id=event.id, event=event.type)
        return stream.response

    When the client goes away, does not read for `deadline` seconds, or the service stops, the block ends at its current
    await, without an error. While no event is sent, a comment every `keep_alive` seconds keeps proxies from closing the
    connection. Raises Overloaded on entering when too many streams are open.
    """

    def __init__(
        self,
        request: web.Request,
        *,
        keep_alive: float = 15.0,
        deadline: float = WRITE_DEADLINE,
        look_every: float = 1.0,
    ) -> None:
        self.response = web.StreamResponse(headers=_HEADERS)
        self.last_event_id = request.headers.get(LAST_EVENT_ID)
        self._request = request
        self._keep_alive = keep_alive
        self._deadline = deadline
        self._look_every = min(look_every, keep_alive)
        self._place = request.app[LOAD].stream()
        self._closed = False
        self._body: asyncio.Task[object] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._last_write = 0.0

    @property
    def closed(self) -> bool:
        return self._closed

    async def __aenter__(self) -> Self:
        self._place.__enter__()
        try:
            await self.response.prepare(self._request)
        except BaseException:
            self._place.__exit__(None, None, None)
            raise
        self._body = asyncio.current_task()
        self._last_write = asyncio.get_running_loop().time()
        self._request.app[OPEN_STREAMS].add(self)
        self._watch = asyncio.create_task(self._watch_over())
        if self._request.method == "HEAD":
            self.close()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _tb: TracebackType | None
    ) -> bool:
        self._request.app[OPEN_STREAMS].discard(self)
        self._place.__exit__(None, None, None)
        assert self._watch is not None
        assert self._body is not None
        self._watch.cancel()
        ours = self._closed
        self._closed = True
        if ours:
            self.response.force_close()
            if kind is asyncio.CancelledError:
                # Like asyncio.timeout: only our own cancellation is undone; another one propagates.
                return self._body.uncancel() == 0
        return isinstance(error, ConnectionResetError)

    async def send(self, data: str, *, id: str | None = None, event: str | None = None) -> None:
        """Send one event. Waits while the client is slow. `data` may have several lines."""
        await self._write(_event(data, id, event))

    async def send_all(self, events: Iterable[tuple[str, str]]) -> None:
        """Send events without a name, as pairs of data and id, in one write."""
        if text := "".join([_event(data, id, None) for data, id in events]):
            await self._write(text)

    async def send_named(self, events: Iterable[tuple[str, str, str]]) -> None:
        """Send events with names, as data, id and name of each, in one write."""
        if text := "".join([_event(data, id, name) for data, id, name in events]):
            await self._write(text)

    async def position(self, id: str) -> None:
        """Send the id after which a client that is cut off resumes, without an event."""
        await self._write(f"id: {_one_line(id)}\n\n")

    async def comment(self, text: str = "") -> None:
        """Send a line that clients ignore."""
        await self._write(f": {_one_line(text)}\n\n")

    def close(self) -> None:
        """End the stream from outside: its block ends at the next await."""
        if not self._closed and self._body is not None:
            self._closed = True
            self._body.cancel()

    async def _write(self, text: str) -> None:
        if self._closed:
            await asyncio.sleep(0)  # lets the pending cancellation arrive
            return
        async with write_deadline(self._request, self._deadline):
            await self.response.write(text.encode())
        self._last_write = asyncio.get_running_loop().time()

    async def _watch_over(self) -> None:
        """Notice when the client has left, and keep the connection alive; aiohttp does neither for handlers. Also
        notice when its token was revoked, or has expired, or its session ended."""
        loop, guard = asyncio.get_running_loop(), self._request.app[GUARD]
        try:
            while True:
                await asyncio.sleep(self._look_every)
                transport = self._request.transport
                if transport is None or transport.is_closing():
                    break
                if not guard.still_admits(self._request):
                    break
                if loop.time() - self._last_write >= self._keep_alive:
                    await self.comment("keep-alive")
        except ConnectionResetError:
            pass  # the client left between the check and the write
        self.close()


def _event(data: str, id: str | None, event: str | None) -> str:
    lines = []
    if id is not None:
        lines.append(f"id: {_one_line(id)}")
    if event is not None:
        lines.append(f"event: {_one_line(event)}")
    lines += [f"data: {line}" for line in _lines(data)]
    return "\n".join(lines) + "\n\n"


def _lines(data: str) -> list[str]:
    return data.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ").replace("\x00", "")
