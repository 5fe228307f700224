"""A small service of its own, so that the web parts are tested without any of the real ones."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import Field, field_validator

from schemas.model import Model
from schemas.rest.lists import PageQuery
from schemas.states import JobStatus
from shared.telemetry import Metrics
from shared.web import Answer, Api, EventStream, create_web_app, json_response
from shared.web.paging import decode_cursor, encode_cursor, page

Client = TestClient[web.Request, web.Application]


class StepIn(Model):
    name: str = Field(min_length=1)
    command: str | list[str] | None = None
    depends_on: list[str] = Field(default_factory=list)

    @field_validator("name")
    @classmethod
    def no_spaces(cls, name: str) -> str:
        if " " in name:
            raise ValueError("a name has no spaces")
        return name


class ThingIn(Model):
    name: str
    description: str | None = None
    priority: int | None = Field(None, ge=0, lt=10)
    steps: list[StepIn] = Field(default_factory=list)
    env: dict[str, str] = Field(default_factory=dict)
    from_: str | None = Field(None, alias="from")
    ratio: float | None = None


class Options(Model):
    force: bool = False


class Thing(Model):
    id: str
    name: str
    status: JobStatus = JobStatus.PENDING
    parent: "Thing | None" = None


class ThingQuery(PageQuery):
    status: list[JobStatus] | None = None
    name: str | None = None


@dataclass
class Settings:
    host: str = "127.0.0.1"
    cors_origins: str = "loopback"
    allowed_hosts: str = ""
    public_url: str | None = None
    trusted_proxies: str = ""
    limit_body: int = 2000


@dataclass
class Behaviour:
    """What the toy service does next; a test sets it."""

    fails_with: Exception | None = None
    on_request: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    on_create: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    on_wake: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    checks: dict[str, bool | Exception] = field(default_factory=lambda: {"database": True, "nats": True})
    seen: list[object] = field(default_factory=list)


def toy_api(behaviour: Behaviour) -> Api:
    api = Api(tag="things", description="Things.")

    @api.post("/api/v1/things", body=ThingIn, answers={201: Thing}, summary="Make one", creates=True)
    async def create_thing(request: web.Request, body: ThingIn) -> web.StreamResponse:
        behaviour.seen.append(body)
        if behaviour.fails_with:
            raise behaviour.fails_with
        if behaviour.on_create:
            return await behaviour.on_create(request)
        return json_response(Thing(id="1", name=body.name), status=201, headers={"Location": "/api/v1/things/1"})

    @api.post("/api/v1/things/batch", body=list[ThingIn], answers={201: list[Thing]}, summary="Make many")
    async def create_things(request: web.Request, body: list[ThingIn]) -> web.StreamResponse:
        return json_response([Thing(id=str(n), name=one.name) for n, one in enumerate(body)], status=201)

    @api.get("/api/v1/things", query=ThingQuery, answers={200: list[Thing]}, summary="All of them")
    async def list_things(request: web.Request, query: ThingQuery) -> web.StreamResponse:
        behaviour.seen.append(query)
        if query.cursor:
            behaviour.seen.append(decode_cursor(query.cursor))
            return page(request, ["{}"], None)
        return page(request, ['{"id":"1"}', '{"id":"2"}'], encode_cursor("0192f0c1-2345-7abc-8def-0123456789ab"))

    @api.get(
        "/api/v1/things/{id}",
        answers={200: Answer(Thing, also=("text/plain", "text/event-stream"))},
        summary="One of them",
    )
    async def get_thing(request: web.Request, id: str) -> web.StreamResponse:
        if behaviour.on_request:
            return await behaviour.on_request(request)
        return json_response(Thing(id=id, name="a"))

    @api.put("/api/v1/things/{id}", body=ThingIn, answers={200: Thing}, summary="Change it")
    async def update_thing(request: web.Request, id: str, body: ThingIn) -> web.StreamResponse:
        return json_response(Thing(id=id, name=body.name))

    @api.patch("/api/v1/things/{id}", body=Options, answers={200: Thing}, summary="Change a part of it")
    async def patch_thing(request: web.Request, id: str, body: Options) -> web.StreamResponse:
        behaviour.seen.append(body)
        return json_response(Thing(id=id, name="a"))

    @api.delete("/api/v1/things/{id}", answers={204: None}, summary="Away with it")
    async def delete_thing(request: web.Request, id: str) -> web.StreamResponse:
        return web.Response(status=204)

    @api.post("/api/v1/things/{id}/cancel", body=Options, answers={202: Thing}, summary="Stop it")
    async def cancel_thing(request: web.Request, id: str, body: Options) -> web.StreamResponse:
        behaviour.seen.append(body)
        return json_response(Thing(id=id, name="a"), status=202)

    @api.post("/api/v1/things/{id}/wake", answers={202: None}, summary="Wake it")
    async def wake_thing(request: web.Request, id: str) -> web.StreamResponse:
        if behaviour.on_wake:
            return await behaviour.on_wake(request)
        return web.Response(status=202)

    @api.get("/api/v1/stream", answers={200: Answer(also=("text/event-stream",))}, summary="Events")
    async def stream_things(request: web.Request) -> web.StreamResponse:
        async with EventStream(request, keep_alive=0.05, look_every=0.01) as stream:
            behaviour.seen.append(stream)
            await stream.send("first\nsecond", id="7", event="news")
            if behaviour.fails_with:
                raise behaviour.fails_with
            await asyncio.Event().wait()
        return stream.response

    return api


@pytest.fixture
def behaviour() -> Behaviour:
    return Behaviour()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def make_app(behaviour: Behaviour, metrics: Metrics) -> Callable[..., web.Application]:
    def make(**changes: object) -> web.Application:
        def check(name: str) -> Callable[[], Awaitable[bool]]:
            async def ask() -> bool:
                state = behaviour.checks[name]
                if isinstance(state, Exception):
                    raise state
                return state

            return ask

        options: dict[str, object] = {
            "title": "Toys",
            "version": "1.2.3",
            "service": "toys",
            "settings": Settings(),
            "apis": [toy_api(behaviour)],
            "checks": {name: check(name) for name in behaviour.checks},
            "metrics": metrics,
        }
        return create_web_app(**{**options, **changes})  # type: ignore[arg-type]

    return make


@pytest.fixture
async def client(make_app: Callable[..., web.Application]) -> AsyncIterator[Client]:
    async with TestClient(TestServer(make_app())) as client:
        yield client
