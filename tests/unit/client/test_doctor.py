"""`hodei doctor` finds what is wrong, and says how to mend it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hodei import __version__
from hodei.client import Client
from hodei.diagnosis import SERVICES, Check, examine

ID = "01a22592-5daa-71c2-9b8b-aa9e8bcf28c2"
AT = "2026-11-29T08:00:00Z"
ORIGIN = "https://hodei.example"


class Service:
    """One of the three services, as far as its answers to a doctor go."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.health: dict[str, Any] = {
            "status": "healthy",
            "service": name.replace("-", "_"),
            "version": __version__,
            "access": "off",
            "checks": {"database": "up", "nats": "up"},
        }
        self.below = ""
        self.allows = True
        self.ahead = timedelta(0)
        self.status: dict[str, int] = {}
        self.who: dict[str, Any] = {"access": "on", "id": ID, "name": "ana", "role": "operator", "expires_at": None}
        self.workers: list[dict[str, Any]] = [worker("online")]
        self.letters: list[dict[str, Any]] = []
        self.urls: dict[str, str | None] = {}

    async def answer(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix(self.below)
        bodies: Mapping[str, Callable[[], object]] = {
            "/health": lambda: self.health,
            "/api/v1/whoami": lambda: self.who,
            "/api/v1/workers": lambda: self.workers,
            "/api/v1/dead-letters": lambda: self.letters,
            "/api/v1/platform": self._platform,
        }
        status = self.status.get(path, 200)
        body = (
            bodies[path]() if status == 200 or path == "/health" else {"title": "No", "status": status, "detail": "no"}
        )
        headers = {"Date": format_datetime(datetime.now(UTC) + self.ahead, usegmt=True)}
        if self.allows and "Origin" in request.headers:
            headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        return web.json_response(body, status=status, headers=headers)

    def _platform(self) -> dict[str, object]:
        services = [
            {"name": name.replace("-", "_"), "url": self.urls[name], "version": __version__, "port": 1}
            for name in SERVICES
        ]
        return {
            "namespace": "hodei", "access": "off", "version": __version__, "lease_seconds": 15.0, "services": services,
            "retention": {}, "features": {},
        }  # fmt: skip


def worker(status: str) -> dict[str, Any]:
    return {
        "id": ID, "type": "default", "name": "north", "status": status, "reason": None, "labels": {}, "capacity": {},
        "slots": 8, "busy": 3, "drained": False, "reserved_for": None, "has_agent": True, "registered_at": AT,
        "last_heartbeat": AT,
    }  # fmt: skip


@pytest.fixture
def clinic() -> Callable[[], Any]:
    """Opens a context with the three services, and a function that examines them."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[tuple[dict[str, Service], Callable[[], Any]]]:
        services, servers = {name: Service(name) for name in SERVICES}, {}
        for name, service in services.items():
            app = web.Application()
            app.router.add_get("/{path:.*}", service.answer)
            servers[name] = TestServer(app)
            await servers[name].start_server()
        urls = {name: str(server.make_url("")).rstrip("/") for name, server in servers.items()}
        services["orchestrator"].urls = dict(urls)

        async def look() -> list[Check]:
            async with Client(*urls.values(), token="", timeout=5, attempts=1) as client:
                async with asyncio.timeout(30):
                    return await examine(client)

        yield services, look
        for server in servers.values():
            await server.close()

    return opened


def _not_ok(found: list[Check]) -> dict[str, tuple[str, str]]:
    assert all((one.state == "ok") is (one.mend is None) for one in found)
    return {one.check: (one.state, one.detail) for one in found if one.state != "ok"}


async def test_a_sound_set_up_is_sound(clinic: Callable[[], Any]) -> None:
    async with clinic() as (_, look):
        found = await look()
    assert _not_ok(found) == {}
    assert {one.check for one in found} >= {*SERVICES, "database", "nats", "versions", "clocks", "access", "workers"}
    assert next(one.detail for one in found if one.check == "console").endswith("/console/")
    assert "3 of 8 slots busy" in next(one.detail for one in found if one.check == "workers")


async def test_what_is_wrong_is_named(clinic: Callable[[], Any]) -> None:
    async with clinic() as (services, look):
        services["scheduler"].health |= {"status": "unhealthy", "checks": {"database": "down", "nats": "up"}}
        services["scheduler"].status["/health"] = 503
        services["worker-manager"].health |= {"version": "0.0.1", "service": "worker_manager"}
        services["worker-manager"].ahead = timedelta(minutes=-3)
        services["scheduler"].workers = [worker("unhealthy")]
        services["orchestrator"].letters = [
            {"id": ID, "consumer": "c", "event_type": "jobs.failed", "subject": "s", "error": "e", "deliveries": 5}
            | {"entity_id": ID, "job_id": None, "resendable": True, "arrived_at": AT, "at": AT}
        ]
        found = _not_ok(await look())
    assert found["scheduler"] == ("warning", found["scheduler"][1])
    assert found["database"] == ("wrong", "down, as the scheduler reports")
    assert found["versions"][0] == "wrong"
    assert "worker-manager's is 18" in found["clocks"][1] or "worker-manager's is 17" in found["clocks"][1]
    assert found["workers"][0] in ("wrong", "warning")
    assert found["dead letters"][0] == "warning"


@pytest.mark.parametrize(
    ("change", "check", "state", "words"),
    [
        (lambda all_: all_["scheduler"].health.update(service="orchestrator"), "scheduler", "wrong", "orchestrator"),
        (lambda all_: all_["scheduler"].health.clear(), "scheduler", "wrong", "is another server"),
        (lambda all_: all_["scheduler"].health.update(access="on"), "access", "wrong", "scheduler on"),
        (lambda all_: setattr(all_["scheduler"], "workers", []), "workers", "wrong", "none is online"),
        (lambda all_: setattr(all_["scheduler"], "workers", [worker("draining")]), "workers", "wrong", "all drain"),
        (lambda all_: setattr(all_["worker-manager"], "allows", False), "console", "wrong", "call the worker-manager"),
        (lambda all_: all_["orchestrator"].urls.update(scheduler=None), "console", "wrong", "not find the scheduler"),
        (lambda all_: [one.health.update(version="9.9.9") for one in all_.values()], "versions", "warning", "9.9.9"),
        (lambda all_: all_["scheduler"].status.update({"/api/v1/workers": 500}), "workers", "warning", "could not be"),
    ],
)  # fmt: skip
async def test_each_fault(
    clinic: Callable[[], Any], change: Callable[[dict[str, Service]], object], check: str, state: str, words: str
) -> None:
    async with clinic() as (services, look):
        change(services)
        found = _not_ok(await look())
    assert found[check][0] == state
    assert words in found[check][1]


async def test_a_token_that_is_refused_or_expires_soon(clinic: Callable[[], Any]) -> None:
    async with clinic() as (services, look):
        for service in services.values():
            service.health["access"] = "on"
            service.who["expires_at"] = (datetime.now(UTC) + timedelta(days=2)).isoformat()
        state, words = _not_ok(await look())["token"]
        assert (state, "ana, operator, expires on" in words) == ("warning", True)
        services["scheduler"].status["/api/v1/whoami"] = 401
        found = await look()
        state, words = _not_ok(found)["token"]
        assert (state, "the scheduler does not take it" in words or "none was sent" in words) == ("wrong", True)
        assert found[-1].check == "token"  # all else would only be refused


async def test_a_login_that_is_advised_has_the_whole_address(clinic: Callable[[], Any]) -> None:
    async with clinic() as (services, _), AsyncExitStack() as stack:
        urls = []
        for service in services.values():
            service.health["access"] = "on"
            service.status["/api/v1/whoami"] = 401
            service.below = "/hodei"
            app = web.Application()
            app.router.add_get("/hodei/{path:.*}", service.answer)
            urls.append(str((await stack.enter_async_context(TestServer(app))).make_url("/hodei/")))
        async with Client(*urls, token="", timeout=5, attempts=1) as client:
            token = next(one for one in await examine(client) if one.check == "token")
    assert token.mend == f"Log in: hodei login {urls[0].rstrip('/')}."


async def test_nothing_more_is_asked_if_no_service_answers() -> None:
    urls = [f"http://127.0.0.1:{port}" for port in (9, 10, 11)]
    async with Client(*urls, token="", timeout=5, attempts=1) as client:
        found = await examine(client)
    assert [(one.check, one.state) for one in found] == [(name, "wrong") for name in SERVICES]
