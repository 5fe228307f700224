"""Clients that ask for much and do not read it: they keep no place that others need."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from shared.web import EventStream, WebServer
from shared.web.load import LOAD
from shared.web.pieces import send_pieces

PATH = "/api/v1/things/0192f0c1-2345-7abc-8def-0123456789ab"
MUCH = "x" * 1_000_000


async def in_pieces(request: web.Request) -> web.StreamResponse:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield MUCH.encode()

    return await send_pieces(request, "text/plain", endless(), deadline=0.05)


async def as_events(request: web.Request) -> web.StreamResponse:
    async with EventStream(request, deadline=0.05) as stream:
        while True:
            await stream.send(MUCH)
    return stream.response


@pytest.mark.parametrize("answer", [in_pieces, as_events])
async def test_a_client_that_does_not_read_gives_its_place_back(
    make_app: Callable[..., web.Application],
    behaviour: Any,
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> None:
    left = asyncio.Event()

    async def answered(request: web.Request) -> web.StreamResponse:
        try:
            return await answer(request)
        finally:
            left.set()

    behaviour.on_request = answered
    app = make_app()
    server = WebServer(app, "127.0.0.1", 0)
    await server.start()
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    await asyncio.wait_for(left.wait(), 5)

    assert (app[LOAD].active, app[LOAD].waiting) == (0, 0)
    writer.close()
    await server.stop()
