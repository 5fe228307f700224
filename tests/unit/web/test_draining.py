"""The end of a service as its clients see it: told before it comes, and no request is left without an answer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, web

from shared.service.lifecycle import Drainable
from shared.web import WebServer, is_stopping, polling, waiting
from worker_manager.fleet import Fleet

MakeApp = Callable[..., web.Application]
ID = "0192f0c1-2345-7abc-8def-0123456789ab"
LONG = 30.0


@asynccontextmanager
async def serving(app: web.Application, *, stop_deadline: float = 4.0) -> AsyncIterator[tuple[WebServer, Any]]:
    """A server, and `get(path)`, each time on a connection of its own."""
    server = WebServer(app, "127.0.0.1", 0, stop_deadline=stop_deadline)
    await server.start()

    async def get(path: str) -> tuple[int, Any, str | None]:
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{server.port}{path}") as answer:
            return answer.status, await answer.json(content_type=None), answer.headers.get("Connection")

    yield server, get


def long_poll(inside: asyncio.Event) -> Callable[[web.Request], Any]:
    async def poll(request: web.Request) -> web.StreamResponse:
        async with polling(request):
            inside.set()
            await asyncio.Event().wait()
        return web.json_response({"stopping": is_stopping(request)})

    return poll


async def test_the_end_is_said_before_the_door_is_closed(make_app: MakeApp) -> None:
    async with serving(make_app()) as (server, get):
        assert (await get("/health"))[2] is None
        draining = asyncio.create_task(server.take_leave(LONG))
        await asyncio.sleep(0)  # let it begin

        status, health, connection = await get("/health")
        assert (status, health["status"], connection) == (503, "draining", "close")
        assert (await get("/health/live"))[0] == 200
        assert (await get("/api/v1/things"))[::2] == (200, "close")

        draining.cancel()
        await server.stop()
        with pytest.raises(OSError, match="Connect call failed"):
            await get("/health")


async def test_nothing_is_waited_for_where_nobody_is_there(make_app: MakeApp) -> None:
    async with serving(make_app()) as (server, _):
        async with asyncio.timeout(5):
            await server.take_leave(LONG)
        await server.stop()


async def test_a_long_poll_is_answered_as_soon_as_the_service_is_to_stop(make_app: MakeApp, behaviour: Any) -> None:
    inside = asyncio.Event()
    behaviour.on_request = long_poll(inside)
    async with serving(make_app()) as (server, get):
        polls = [asyncio.create_task(get(f"/api/v1/things/{ID}")) for _ in range(3)]
        await inside.wait()
        draining = asyncio.create_task(server.take_leave(LONG))
        async with asyncio.timeout(5):
            assert {(await poll)[::2] for poll in polls} == {(200, "close")}
            assert (await get(f"/api/v1/things/{ID}"))[1] == {"stopping": True}  # and one that begins now, shortly
        draining.cancel()
        await server.stop()


async def test_a_long_poll_is_answered_when_the_service_stops_at_once(make_app: MakeApp, behaviour: Any) -> None:
    inside = asyncio.Event()
    behaviour.on_request = long_poll(inside)
    async with serving(make_app(), stop_deadline=LONG) as (server, get):
        poll = asyncio.create_task(get(f"/api/v1/things/{ID}"))
        await inside.wait()
        async with asyncio.timeout(5):
            await server.stop()
        assert (await poll)[:2] == (200, {"stopping": True})


async def test_what_waits_and_does_not_end_is_answered_with_503(make_app: MakeApp, behaviour: Any) -> None:
    inside = asyncio.Event()

    async def wait(request: web.Request) -> web.StreamResponse:
        with waiting(request):
            inside.set()
            await asyncio.Event().wait()
        return web.Response()

    behaviour.on_request = wait
    async with serving(make_app(), stop_deadline=0.2) as (server, get):
        waits = asyncio.create_task(get(f"/api/v1/things/{ID}"))
        await inside.wait()
        await server.stop()
        status, problem, _ = await waits
    assert status == 503
    assert "this service, which is stopping, is not available" in problem["detail"]


def test_what_drains_workers_is_not_taken_for_a_service_that_takes_leave() -> None:
    assert issubclass(WebServer, Drainable)
    assert not issubclass(Fleet, Drainable)
