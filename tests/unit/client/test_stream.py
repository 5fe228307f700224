"""A followed stream survives whatever breaks it for a while."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hodei.client import ApiError, Client, Unreachable
from hodei.client import transport as transports
from hodei.client.transport import Transport
from shared.keys.certificates import make_certificates

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Script:
    """A service that answers each opening of a stream with the next part of a script."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.resumed_after: list[str | None] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.resumed_after.append(request.headers.get("Last-Event-ID"))
        return await (self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])(request)


def events(*ids: int, end: bool = False, break_off: bool = False) -> Answer:
    lines = [b"id: %d\ndata: line %d\n\n" % (id, id) for id in ids]
    return wire(*lines, *([b"event: end\ndata: {}\n\n"] if end else []), break_off=break_off)


def wire(*pieces: bytes, break_off: bool = False) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        if break_off:
            assert request.transport is not None
            request.transport.abort()
        return response

    return answer


async def refused(status: int) -> web.Response:
    return web.json_response({}, status=status, headers={"Retry-After": "0"})


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(transports, "LONGEST_DELAY", 0.01)


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[Transport]]]:
    opened: list[TestServer | Transport] = []

    async def start(script: Script, *, patience: float = 5.0) -> Transport:
        app = web.Application()
        app.router.add_get("/stream", script.answer)
        server = TestServer(app)
        await server.start_server()
        transport = Transport(server.make_url("/"), timeout=5, attempts=2, patience=patience)
        opened.extend((transport, server))
        return transport

    yield start
    for one in opened:
        await one.close()


Serve = Callable[..., Awaitable[Transport]]


async def read(transport: Transport) -> list[str]:
    return [event.data async for event in transport.stream("/stream")]


async def test_a_stream_goes_on_after_the_last_event_whatever_ended_it(serve: Serve) -> None:
    script = Script(
        events(1, 2), events(3, break_off=True), lambda _: refused(503), lambda _: refused(429), events(4, end=True)
    )

    assert await read(await serve(script)) == ["line 1", "line 2", "line 3", "line 4", "{}"]
    assert script.resumed_after == [None, "2", "3", "3", "3"]


async def test_an_opening_that_is_answered_with_503_is_tried_again(serve: Serve) -> None:
    script = Script(lambda _: refused(503), lambda _: refused(503), events(1, end=True))
    assert await read(await serve(script)) == ["line 1", "{}"]


async def test_a_stream_that_stays_broken_is_given_up(serve: Serve) -> None:
    with pytest.raises(ApiError, match="503"):
        await read(await serve(Script(lambda _: refused(503)), patience=0.05))
    with pytest.raises(Unreachable, match="ended too early"):
        await read(await serve(Script(events()), patience=0.05))


async def test_a_refusal_is_final(serve: Serve) -> None:
    script = Script(lambda _: refused(404))
    with pytest.raises(ApiError, match="404"):
        await read(await serve(script))
    assert len(script.resumed_after) == 1


async def test_a_stream_that_is_left_over_tls_does_not_wait_for_the_servers_farewell(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(tmp_path / "orchestrator.crt", tmp_path / "orchestrator.key")

    def serve(listening: socket.socket) -> None:
        """Send one event, then never answer again; returns when the client's side of the connection is closed."""
        accepted = listening.accept()[0]
        accepted.settimeout(10)
        with served.wrap_socket(accepted, server_side=True) as connection:
            connection.recv(65536)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            connection.sendall(head + b"14\r\nid: 1\ndata: line 1\n\n\r\n")
            with socket.socket(fileno=os.dup(connection.fileno())) as raw:
                raw.settimeout(10)
                while raw.recv(65536):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(asyncio.to_thread(serve, listening))
        url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        trusted = ssl.create_default_context(cafile=tmp_path / "ca.crt")
        transport = Transport(url, timeout=10, attempts=1, tls=trusted)
        async with aclosing(transport.stream("/stream")) as events:
            assert (await anext(events)).data == "line 1"
        await transport.close()
        await serving


async def test_streams_that_are_left_when_their_loop_ends_are_closed_without_a_word(serve: Serve) -> None:
    """A command whose output is closed leaves its stream as it is: its event loop closes all generators at once."""
    transport = await serve(Script(events(*range(2000))))
    base, wrong = transport.base_url, []

    async def leave() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context["message"]))
        reading = [Transport(base, timeout=5, attempts=2, patience=5.0) for _ in range(10)]
        streams = [one.stream("/stream") for one in reading]
        try:
            for stream in streams:
                await anext(stream)
            raise BrokenPipeError
        finally:
            for one in reading:
                await one.close()

    def run() -> None:
        with contextlib.suppress(BrokenPipeError):
            asyncio.run(leave())

    await asyncio.to_thread(run)
    assert wrong == []


async def test_a_position_without_an_event_is_remembered(serve: Serve) -> None:
    script = Script(
        wire(b"id: 7\n\n", break_off=True),
        wire(b"id: 8\n\nid: 9\ndata: cut"),
        wire(b"id: 1\0\n\n"),
        events(10, end=True),
    )
    assert await read(await serve(script)) == ["line 10", "{}"]
    assert script.resumed_after == [None, "7", "8", "8"], "an id counts from the end of its event on"


async def test_a_position_alone_does_not_keep_a_broken_stream_from_being_given_up(serve: Serve) -> None:
    with pytest.raises(Unreachable, match="ended too early"):
        await read(await serve(Script(wire(b"id: 7\n\n")), patience=0.05))


async def test_a_stream_of_what_is_stored_is_given_up_like_a_request(serve: Serve) -> None:
    script = Script(lambda _: refused(503))
    transport = await serve(script)
    with pytest.raises(ApiError, match="503"):
        _ = [event async for event in transport.stream("/stream", live=False)]
    assert len(script.resumed_after) == 2


async def test_a_stream_of_what_is_stored_goes_on_once_it_has_begun(serve: Serve) -> None:
    away = [lambda _: refused(503)] * 4
    transport = await serve(Script(events(1, break_off=True), *away, events(2, end=True)))
    found = [event.data async for event in transport.stream("/stream", live=False)]
    assert found == ["line 1", "line 2", "{}"]


async def test_a_label_is_sent_once_for_each_value() -> None:
    asked: list[list[tuple[str, str]]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(list(request.query.items()))
        return web.json_response([])

    app = web.Application()
    app.router.add_get("/api/v1/jobs", answer)
    async with TestServer(app) as server, Client(str(server.make_url("/"))) as client:
        assert [job async for job in client.jobs(label=["team=web", "tier=1"], name=None)] == []
    assert asked == [[("label", "team=web"), ("label", "tier=1")]]
