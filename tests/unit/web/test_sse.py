"""Event streams: what is on the wire, and every way in which they end."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientPayloadError, ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from shared.telemetry import Metrics
from shared.web import EventStream, Limits, WebServer
from shared.web.load import LOAD

Client = TestClient[Any, Any]
EVENT = b"id: 7\nevent: news\ndata: first\ndata: second\n\n"


async def test_events_arrive_as_they_are_sent_and_comments_keep_it_alive(client: Client) -> None:
    async with client.get("/api/v1/stream") as response:
        assert response.content_type == "text/event-stream"
        assert response.headers["X-Request-ID"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert await response.content.readexactly(len(EVENT)) == EVENT
        assert await response.content.readline() == b": keep-alive\n"


async def test_a_client_that_leaves_ends_the_stream(make_app: Callable[..., web.Application], behaviour: Any) -> None:
    left = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        async with EventStream(request, look_every=0.01) as stream:
            try:
                await asyncio.Event().wait()
            finally:
                left.set()
        behaviour.seen.append("after")
        return stream.response

    behaviour.on_request = stream
    app = make_app()
    server = WebServer(app, "127.0.0.1", 0)
    await server.start()
    async with ClientSession() as session:
        url = f"http://127.0.0.1:{server.port}/api/v1/things/0192f0c1-2345-7abc-8def-0123456789ab"
        response = await session.get(url)
        assert app[LOAD].streams == 1
        assert app[LOAD].active == 0
        response.close()
        await asyncio.wait_for(left.wait(), 5)
    await server.stop()
    assert behaviour.seen == ["after"]
    assert (app[LOAD].streams, app[LOAD].active) == (0, 0)


async def test_stopping_the_service_ends_open_streams_at_once(make_app: Callable[..., web.Application]) -> None:
    server = WebServer(make_app(), "127.0.0.1", 0, stop_deadline=30)
    await server.start()
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{server.port}/api/v1/stream") as response:
        assert await response.content.readexactly(len(EVENT)) == EVENT
        async with asyncio.timeout(5):
            await server.stop()
        await response.content.read()
        assert response.content.at_eof()


async def test_an_error_inside_a_stream_cuts_it(
    make_app: Callable[..., web.Application], behaviour: Any, metrics: Metrics
) -> None:
    behaviour.fails_with = RuntimeError("oops")
    async with TestClient(TestServer(make_app())) as client:
        response = await client.get("/api/v1/stream")
        assert response.status == 200
        with pytest.raises(ClientPayloadError):
            await response.content.read()
        again = await client.get("/health/live")
        assert again.status == 200


async def test_head_of_a_stream_answers_at_once(client: Client) -> None:
    async with asyncio.timeout(5):
        response = await client.head("/api/v1/stream")
    assert response.status == 200


async def test_too_many_streams_are_refused(make_app: Callable[..., web.Application]) -> None:
    async with (
        TestClient(TestServer(make_app(limits=Limits(streams=1)))) as client,
        client.get("/api/v1/stream") as first,
    ):
        await first.content.readexactly(len(EVENT))
        assert (await client.get("/api/v1/stream")).status == 429
