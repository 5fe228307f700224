"""What surrounds every request: ids, limits, metrics, the access log, health, the server itself."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from shared.errors import ConfigError
from shared.telemetry import Metrics, Tracing, inject
from shared.web import WebServer, create_web_app, waiting

Client = TestClient[Any, Any]
ID = "0192f0c1-2345-7abc-8def-0123456789ab"


async def test_a_sane_request_id_is_kept(client: Client) -> None:
    response = await client.get("/health/live", headers={"X-Request-ID": "my request-7"})
    assert response.headers["X-Request-ID"] == "my request-7"


@pytest.mark.parametrize("odd", ["x" * 129, "", "é"])
async def test_an_odd_request_id_is_replaced(client: Client, odd: str) -> None:
    response = await client.get("/health/live", headers={"X-Request-ID": odd})
    assert re.fullmatch("[0-9a-f]{32}", response.headers["X-Request-ID"])


async def test_one_line_is_logged_per_request(client: Client) -> None:
    with capture_logs() as lines:
        await client.get(f"/api/v1/things/{ID}", headers={"X-Request-ID": "abc"})
    assert [line["event"] for line in lines] == ["http_request"]
    assert lines[0]["method"] == "GET"
    assert lines[0]["route"] == "/api/v1/things/{id}"
    assert lines[0]["status"] == 200
    assert lines[0]["duration_ms"] > 0


async def test_an_unexpected_error_is_logged_with_its_trace_and_the_request_id(client: Client, behaviour: Any) -> None:
    import structlog

    behaviour.fails_with = RuntimeError("oops")
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        response = await client.post("/api/v1/things", json={"name": "a"}, headers={"X-Request-ID": "abc"})
        assert (await response.json())["request_id"] == "abc"
    error = next(line for line in lines if line["event"] == "request.failed")
    assert error["exc_info"] is behaviour.fails_with
    assert {line["request_id"] for line in lines} == {"abc"}


async def test_requests_are_counted_by_route_template(client: Client, metrics: Metrics) -> None:
    await client.get(f"/api/v1/things/{ID}")
    await client.get("/api/v1/things/42")
    await client.get("/a")
    await client.get("/b")
    count = "hodei_http_requests_total"
    assert metrics.value(count, method="GET", route="/api/v1/things/{id}", status="200") == 1
    assert metrics.value(count, method="GET", route="/api/v1/things/{id}", status="404") == 1
    assert metrics.value(count, method="GET", route="unmatched", status="404") == 2
    response = await client.get("/metrics")
    assert response.content_type == "text/plain"
    text = await response.text()
    assert 'hodei_http_request_duration_seconds_count{method="GET",route="/api/v1/things/{id}"} 2.0' in text


async def test_too_many_at_once_are_refused_but_health_answers(
    make_app: Callable[..., web.Application], behaviour: Any
) -> None:
    inside, go = asyncio.Event(), asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse:
        inside.set()
        await go.wait()
        return web.Response()

    behaviour.on_request = hold
    async with TestClient(TestServer(make_app(active_limit=1))) as client:
        first = asyncio.create_task(client.get(f"/api/v1/things/{ID}"))
        await inside.wait()
        refused = await client.get("/api/v1/things")
        assert refused.status == 429
        assert refused.headers["Retry-After"] == "1"
        assert (await client.get("/health")).status == 200
        go.set()
        assert (await first).status == 200
        assert (await client.get("/api/v1/things")).status == 200


async def test_who_waits_takes_no_working_place(make_app: Callable[..., web.Application], behaviour: Any) -> None:
    inside, go = asyncio.Event(), asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse:
        with waiting(request):
            inside.set()
            await go.wait()
        return web.Response()

    behaviour.on_request = hold
    async with TestClient(TestServer(make_app(active_limit=1, waiting_limit=1))) as client:
        first = asyncio.create_task(client.get(f"/api/v1/things/{ID}"))
        await inside.wait()
        assert (await client.get("/api/v1/things")).status == 200
        assert (await client.get(f"/api/v1/things/{ID}")).status == 429
        go.set()
        assert (await first).status == 200


async def test_an_outside_trace_is_continued_and_named(
    make_app: Callable[..., web.Application], behaviour: Any
) -> None:
    seen: list[str | None] = []

    async def look(request: web.Request) -> web.StreamResponse:
        seen.append(inject())
        return web.Response()

    behaviour.on_request = look
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with TestClient(TestServer(make_app(tracing=Tracing("toys")))) as client:
        headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        await client.get(f"/api/v1/things/{ID}", headers=headers)
        await client.get(f"/api/v1/things/{ID}")
    assert seen[0] is not None
    assert trace in seen[0]
    assert seen[1] is None


@pytest.mark.parametrize(
    ("database", "nats", "status", "word"),
    [
        (True, True, 200, "healthy"),
        (True, False, 200, "degraded"),
        (False, True, 503, "unhealthy"),
        (RuntimeError("boom"), False, 503, "unhealthy"),
    ],
)
async def test_health_adds_up_its_checks(
    client: Client, behaviour: Any, database: Any, nats: Any, status: int, word: str
) -> None:
    behaviour.checks.update(database=database, nats=nats)
    response = await client.get("/health")
    assert response.status == status
    assert await response.json() == {
        "status": word,
        "service": "toys",
        "version": "1.2.3",
        "checks": {"database": "up" if database is True else "down", "nats": "up" if nats else "down"},
    }
    scraped = await (await client.get("/metrics")).text()
    assert f'hodei_health_check_up{{check="database"}} {float(database is True)}' in scraped
    assert f'hodei_health_check_up{{check="nats"}} {float(nats)}' in scraped


async def test_a_check_that_hangs_is_down_within_the_deadline(make_app: Callable[..., web.Application]) -> None:
    async def hangs() -> bool:
        await asyncio.Event().wait()
        return True

    app = make_app(checks={"database": hangs, "nats": hangs}, health_deadline=0.02)
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/health")).status == 503
        assert await (await client.get("/health/live")).json() == {"status": "alive"}


async def test_swagger_ui_is_served_from_here_alone(client: Client) -> None:
    response = await client.get("/swagger-ui")
    page = await response.text()
    assert "script-src 'self'" in response.headers["Content-Security-Policy"]
    assert "http:" not in page
    assert "https:" not in page
    references = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(references) >= 4
    for reference in references:
        if not reference.startswith("data:"):
            asset = await client.get(f"/{reference}")
            assert asset.status == 200
            assert len(await asset.read()) > 100
    assert not re.search(r"<script(?![^>]*src=)", page)


async def test_head_answers_like_get_without_a_body(client: Client) -> None:
    response = await client.head("/api/v1/things")
    assert response.status == 200
    assert await response.read() == b""


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def test_a_server_starts_answers_and_stops(
    make_app: Callable[..., web.Application], session: ClientSession
) -> None:
    server = WebServer(make_app(), "127.0.0.1", 0)
    await server.start()
    async with session.get(f"http://127.0.0.1:{server.port}/health/live") as response:
        assert response.status == 200
        assert response.headers["Server"] == "hodei"
    await server.stop()
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", server.port)


NO_CHUNK = (
    b"POST /api/v1/things HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    b"Connection: close\r\n\r\nzz\r\n\r\n"
)


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"GET / HTTP/9000\r\n\r\n", NO_CHUNK])
async def test_what_is_no_http_is_told_without_alarm(
    make_app: Callable[..., web.Application], caplog: pytest.LogCaptureFixture, noise: bytes
) -> None:
    caplog.set_level(logging.INFO)
    server = WebServer(make_app(), "127.0.0.1", 0)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(noise)
    answer = await reader.read()
    writer.close()
    await server.stop()
    assert answer.startswith(b"HTTP/1.0 400 ") or answer.startswith(b"HTTP/1.1 400 ")
    told = [record for record in caplog.records if record.name == "aiohttp.server"]
    assert told
    assert all((record.levelno, record.exc_info) == (logging.INFO, None) for record in told)


async def test_a_body_that_does_not_come_is_408(
    make_app: Callable[..., web.Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.web.bodies.BODY_DEADLINE", 0.05)
    server = WebServer(make_app(), "127.0.0.1", 0)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b'POST /api/v1/things HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{"name"')
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"Connection: close" in head
    assert b"application/problem+json" in head
    writer.close()
    await server.stop()


async def test_a_taken_port_is_one_clear_line(make_app: Callable[..., web.Application]) -> None:
    first = WebServer(make_app(), "127.0.0.1", 0)
    await first.start()
    second = WebServer(make_app(metrics=Metrics()), "127.0.0.1", first.port)
    with pytest.raises(ConfigError) as caught:
        await second.start()
    assert str(caught.value) == f"cannot listen on 127.0.0.1:{first.port}: the port is already taken"
    await first.stop()


async def test_a_host_that_is_not_there_is_one_clear_line(make_app: Callable[..., web.Application]) -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1:0"):
        await WebServer(make_app(), "192.0.2.1", 0).start()


def test_the_factory_needs_no_running_loop(make_app: Callable[..., web.Application]) -> None:
    assert create_web_app.__kwdefaults__["active_limit"] == 1000
    assert isinstance(make_app(), web.Application)
