"""A request that was turned away (429) is sent again after as long as the service asks for, within its deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hodei.client import ApiError, ClientError
from hodei.client.transport import Transport


class Service:
    """Turns requests away as often as there are pauses left."""

    def __init__(self, *pauses: int) -> None:
        self.pauses = list(pauses)
        self.requests = 0

    async def answer(self, _request: web.Request) -> web.StreamResponse:
        self.requests += 1
        if not self.pauses:
            return web.json_response({})
        return web.json_response({}, status=429, headers={"Retry-After": str(self.pauses.pop(0))})


Serve = Callable[..., Awaitable[Transport]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    opened: list[TestServer | Transport] = []

    async def start(
        service: Service, *, attempts: int = 2, on_retry: Callable[[ClientError], None] = lambda _: None
    ) -> Transport:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", service.answer)
        server = TestServer(app)
        await server.start_server()
        transport = Transport(server.make_url("/"), timeout=30, attempts=attempts, on_retry=on_retry)
        opened.extend((transport, server))
        return transport

    yield start
    for one in opened:
        await one.close()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, none of which takes any time."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def at_once(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr("hodei.client.transport.asyncio.sleep", at_once)
    return pauses


@pytest.mark.parametrize(("method", "creates"), [("GET", False), ("POST", True), ("POST", False), ("DELETE", False)])
async def test_it_waits_as_long_as_asked_more_often_than_it_tries_after_failures(
    serve: Serve, slept: list[float], method: str, creates: bool
) -> None:
    service, noted = Service(7, 1, 20), []
    transport = await serve(service, on_retry=noted.append)
    assert (await transport.request(method, "/", creates=creates)).status == 200
    assert slept == [7, 1, 20]
    assert [str(error)[:3] for error in noted] == ["429"] * 3


async def test_it_does_not_wait_beyond_its_deadline(serve: Serve, slept: list[float]) -> None:
    service = Service(7, 31)
    with pytest.raises(ApiError, match="429"):
        await (await serve(service)).request("GET", "/")
    assert (slept, service.requests) == ([7], 2)


async def test_with_one_attempt_it_does_not_wait(serve: Serve, slept: list[float]) -> None:
    service = Service(1)
    with pytest.raises(ApiError, match="429"):
        await (await serve(service, attempts=1)).request("GET", "/")
    assert (slept, service.requests) == ([], 1)
