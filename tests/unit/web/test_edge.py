"""What surrounds every request: ids, limits, metrics, the access log, health, the server itself."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from shared.errors import ConfigError
from shared.telemetry import Metrics, Tracing, inject
from shared.web import Limits, Returns, WebServer, create_web_app, waiting

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


class Held:
    """Requests of the toy service that do not return before `go` is set."""

    def __init__(self, behaviour: Any, client: Client) -> None:
        self.go = asyncio.Event()
        self._behaviour = behaviour
        self._client = client
        self._inside = 0
        self._came = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []
        behaviour.on_request = behaviour.on_create = self._hold

    async def add(self, count: int, method: str, path: str, **options: Any) -> None:
        """Send so many requests, and return once they are in progress."""
        expected = self._inside + count
        self._tasks += [asyncio.create_task(self._client.request(method, path, **options)) for _ in range(count)]
        async with asyncio.timeout(10):
            while self._inside < expected:
                self._came.clear()
                await self._came.wait()

    async def release(self) -> list[int]:
        """Let all go on; their statuses."""
        self.go.set()
        self._behaviour.on_request = self._behaviour.on_create = None
        return [(await task).status for task in self._tasks]

    async def _hold(self, _request: web.Request) -> web.StreamResponse:
        self._inside += 1
        self._came.set()
        await self.go.wait()
        return web.Response()


THING = {"json": {"name": "a"}}


async def test_too_many_submissions_are_turned_away_while_all_else_works(
    make_app: Callable[..., web.Application], behaviour: Any, metrics: Metrics
) -> None:
    async with TestClient(TestServer(make_app(limits=Limits(requests=10)))) as client:
        held = Held(behaviour, client)
        await held.add(5, "POST", "/api/v1/things", **THING)
        refused = await client.post("/api/v1/things", **THING)
        assert refused.status == 429
        assert refused.headers["Retry-After"] == "1"
        assert (await refused.json())["detail"] == "too many requests at once; try again in 1 s"
        assert (await client.put(f"/api/v1/things/{ID}", **THING)).status == 429
        for path in ("/health", "/metrics", "/openapi.json", "/api/v1/things"):
            assert (await client.get(path)).status == 200
        assert (await client.post(f"/api/v1/things/{ID}/cancel", json={})).status == 202
        assert metrics.value("hodei_limit_in_use", limit="submissions") == 5
        assert metrics.value("hodei_limit", limit="submissions") == 5
        assert metrics.value("hodei_requests_turned_away_total", limit="submissions") == 2
        assert await held.release() == [200] * 5
        assert (await client.post("/api/v1/things", **THING)).status == 201
        assert metrics.value("hodei_limit_in_use", limit="submissions") == 0


async def test_a_flood_of_reads_leaves_room_for_cancellations(
    make_app: Callable[..., web.Application], behaviour: Any, metrics: Metrics
) -> None:
    async with TestClient(TestServer(make_app(limits=Limits(requests=10)))) as client:
        held = Held(behaviour, client)
        await held.add(9, "GET", f"/api/v1/things/{ID}")
        assert (await client.get("/api/v1/things")).status == 429
        assert (await client.get("/nowhere")).status == 429
        assert (await client.post("/api/v1/things", **THING)).status == 429
        assert (await client.get("/health")).status == 200
        assert (await client.post(f"/api/v1/things/{ID}/cancel", json={})).status == 202
        assert (await client.delete(f"/api/v1/things/{ID}")).status == 204
        turned_away = "hodei_requests_turned_away_total"
        assert [metrics.value(turned_away, limit=kind) for kind in ("reads", "submissions", "requests")] == [2, 1, 0]
        assert await held.release() == [200] * 9


async def test_the_last_places_are_limited_too(make_app: Callable[..., web.Application], behaviour: Any) -> None:
    async with TestClient(TestServer(make_app(limits=Limits(requests=10)))) as client:
        held = Held(behaviour, client)
        await held.add(9, "GET", f"/api/v1/things/{ID}")
        behaviour.on_wake = behaviour.on_request
        await held.add(1, "POST", f"/api/v1/things/{ID}/wake")
        assert (await client.post(f"/api/v1/things/{ID}/cancel", json={})).status == 429
        await held.release()


async def test_a_body_over_the_limit_is_counted(client: Client, metrics: Metrics) -> None:
    assert (await client.post("/api/v1/things", json={"name": "a" * 3000})).status == 413
    assert metrics.value("hodei_requests_turned_away_total", limit="body") == 1


async def test_a_request_that_waits_takes_no_place_of_those_in_progress(
    make_app: Callable[..., web.Application], behaviour: Any, metrics: Metrics
) -> None:
    inside, go = asyncio.Event(), asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse:
        with waiting(request):
            inside.set()
            await go.wait()
        return web.Response()

    behaviour.on_create = behaviour.on_request = hold
    async with TestClient(TestServer(make_app(limits=Limits(requests=10, waiting=1)))) as client:
        first = asyncio.create_task(client.post("/api/v1/things", **THING))
        await inside.wait()
        assert metrics.value("hodei_limit_in_use", limit="submissions") == 0
        assert metrics.value("hodei_limit_in_use", limit="waiting_requests") == 1
        refused = await client.get(f"/api/v1/things/{ID}")
        assert (refused.status, refused.headers["Retry-After"]) == (429, "5")
        assert metrics.value("hodei_requests_turned_away_total", limit="waiting_requests") == 1
        go.set()
        assert (await first).status == 200
        assert metrics.value("hodei_limit_in_use", limit="requests") == 0


def test_clients_that_are_turned_away_come_back_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 1000.0)
    returns = Returns()
    seconds = [returns.next() for _ in range(1000)]
    assert seconds[0] == 1.0
    assert max(b - a for a, b in pairwise(seconds)) == pytest.approx(0.01)
    assert seconds[-1] == pytest.approx(10.99)
    assert max(returns.next() for _ in range(10_000)) == 30.0


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
        "access": "off",
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
    assert create_web_app.__kwdefaults__["limits"] is None
    assert isinstance(make_app(), web.Application)
