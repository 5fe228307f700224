"""The browser's door: foreign pages change nothing and read nothing, and no page gets in under a name of its own."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from shared.web import WebServer
from tests.unit.web.conftest import Settings

Client = TestClient[Any, Any]
MakeApp = Callable[..., web.Application]
ID = "0192f0c1-2345-7abc-8def-0123456789ab"
FOREIGN = [
    "https://evil.example",
    "null",
    "http://localhost.evil.example:3000",
    "file://",
    "",
    "http://127.0.0.1.evil.example",
]
OURS = ["http://localhost:3000", "http://127.0.0.1:5173", "http://[::1]:3000", "https://localhost:8443"]
PATHS = ["/api/v1/things", f"/api/v1/things/{ID}", "/health", "/metrics", "/openapi.json", "/swagger-ui", "/nowhere"]
ANYWHERE = "0.0.0.0"


def cors(response: Any) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("Access-Control-")}


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("path", PATHS)
async def test_a_foreign_page_reads_nothing_and_changes_nothing(client: Client, path: str, origin: str) -> None:
    read = await client.get(path, headers={"Origin": origin})
    assert cors(read) == {}
    assert read.headers["Vary"] == "Origin"
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        refused = await client.request(method, path, headers={"Origin": origin}, json={"name": "a"})
        assert refused.status == 403
        assert refused.content_type == "application/problem+json"
        assert cors(refused) == {}
        assert "HODEI_CORS_ORIGINS" in (await refused.json())["detail"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
async def test_what_a_page_sends_without_asking_is_refused_too(
    client: Client, behaviour: Any, kind: str | None
) -> None:
    headers = {"Origin": "https://evil.example"} | ({"Content-Type": kind} if kind else {})
    skipped = [] if kind else ["Content-Type"]
    response = await client.post("/api/v1/things", data=b'{"name": "a"}', headers=headers, skip_auto_headers=skipped)
    assert response.status == 403
    assert behaviour.seen == []


@pytest.mark.parametrize("origin", FOREIGN)
async def test_a_preflight_of_a_foreign_page_is_granted_nothing(client: Client, origin: str) -> None:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
        "Access-Control-Request-Private-Network": "true",
    }
    response = await client.options("/api/v1/things", headers=headers)
    assert response.status == 403
    assert cors(response) == {}


@pytest.mark.parametrize("origin", OURS)
@pytest.mark.parametrize("path", PATHS)
async def test_pages_of_this_machine_may_read_every_route(client: Client, path: str, origin: str) -> None:
    response = await client.get(path, headers={"Origin": origin})
    assert response.headers["Access-Control-Allow-Origin"] == origin
    assert response.headers["Vary"] == "Origin"
    for header in ("Location", "Link", "X-Request-ID", "Idempotency-Replayed", "Retry-After"):
        assert header in response.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("origin", OURS)
async def test_pages_of_this_machine_may_change_things(client: Client, origin: str) -> None:
    asks = {
        "Origin": origin,
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": "idempotency-key",
        "Access-Control-Request-Private-Network": "true",
    }
    preflight = await client.options(f"/api/v1/things/{ID}", headers=asks)
    assert preflight.status == 204
    assert "DELETE" in preflight.headers["Access-Control-Allow-Methods"]
    assert preflight.headers["Access-Control-Allow-Headers"] == "idempotency-key"
    assert preflight.headers["Access-Control-Allow-Private-Network"] == "true"
    assert preflight.headers["Access-Control-Allow-Origin"] == origin
    response = await client.post("/api/v1/things", json={"name": "a"}, headers={"Origin": origin})
    assert response.status == 201
    assert response.headers["Access-Control-Allow-Origin"] == origin


async def test_programs_send_no_origin_and_notice_nothing(client: Client) -> None:
    response = await client.post("/api/v1/things", data=b'{"name": "a"}', headers={"Content-Type": "text/plain"})
    assert response.status == 201
    assert cors(response) == {}


async def test_a_browser_that_names_no_origin_is_still_one(client: Client) -> None:
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 201), ("none", 201)):
        response = await client.post("/api/v1/things", json={"name": "a"}, headers={"Sec-Fetch-Site": site})
        assert response.status == status, site


async def test_a_foreign_page_cannot_follow_a_stream(client: Client) -> None:
    async with client.get("/api/v1/stream", headers={"Origin": "https://evil.example"}) as response:
        assert cors(response) == {}
    async with client.get("/api/v1/stream", headers={"Origin": OURS[0]}) as response:
        assert response.headers["Access-Control-Allow-Origin"] == OURS[0]


async def test_listed_origins_take_the_place_of_the_machines_own(make_app: MakeApp) -> None:
    app = make_app(settings=Settings(cors_origins="https://a.example, https://b.example/"))
    async with TestClient(TestServer(app)) as client:
        for origin, status in (("https://b.example", 201), ("https://c.example", 403), ("http://localhost:3000", 403)):
            response = await client.post("/api/v1/things", json={"name": "a"}, headers={"Origin": origin})
            assert response.status == status
            assert response.headers.get("Access-Control-Allow-Origin") == (origin if status == 201 else None)


async def test_an_operator_may_let_every_page_in(make_app: MakeApp) -> None:
    async with TestClient(TestServer(make_app(settings=Settings(cors_origins="*")))) as client:
        for origin in ("https://evil.example", "null"):
            response = await client.post("/api/v1/things", json={"name": "a"}, headers={"Origin": origin})
            assert response.status == 201
            assert response.headers["Access-Control-Allow-Origin"] == "*"


# ---------------------------------------------------------------- Host


@asynccontextmanager
async def served(app: web.Application, host: str = "127.0.0.1") -> AsyncIterator[Callable[..., Any]]:
    """A server, and how to send it a request byte by byte: `send("GET", host="a.example")` is (status, body)."""
    server = WebServer(app, host, 0)
    await server.start()

    async def send(method: str = "GET", target: str = "/health", *, host: str | None = None, **headers: str) -> Any:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        version = "1.0" if host is None else "1.1"
        lines = [f"{method} {target.format(port=server.port)} HTTP/{version}", "Connection: close"]
        lines += [] if host is None else [f"Host: {host.format(port=server.port)}"]
        lines += [f"{name.replace('_', '-')}: {value.format(port=server.port)}" for name, value in headers.items()]
        body = b'{"name": "a"}' if method == "POST" else b""
        lines += [f"Content-Length: {len(body)}"]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        head, _, answer = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), answer

    yield send
    await server.stop()


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:{port}", "localhost.:{port}", "127.0.0.1", "[::1]:{port}", "app.localhost", "127.0.0.2:1"],
)
async def test_loopback_names_are_accepted(make_app: MakeApp, host: str) -> None:
    async with served(make_app()) as send:
        assert (await send(host=host))[0] == 200
        assert (await send(host=host))[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "[::2]",
        "",
    ],
)
@pytest.mark.parametrize("path", PATHS)
async def test_under_any_other_name_no_route_answers(make_app: MakeApp, path: str, host: str) -> None:
    async with served(make_app()) as send:
        status, body = await send(target=path, host=host)
    assert status == 421
    assert "HODEI_ALLOWED_HOSTS" in json.loads(body)["detail"]


async def test_a_host_that_is_not_one_is_400(make_app: MakeApp) -> None:
    async with served(make_app()) as send:
        for host in ("local host", "localhost:abc", "[::1", "user@localhost", "localhost,evil.example"):
            status, body = await send(host=host)
            assert (status, json.loads(body)["title"]) == (400, "Bad Request"), host


async def test_who_names_no_host_is_not_a_browser(make_app: MakeApp) -> None:
    async with served(make_app()) as send:
        assert (await send(host=None))[0] == 200


async def test_a_target_that_names_a_host_is_checked_like_the_header(make_app: MakeApp) -> None:
    async with served(make_app()) as send:
        assert (await send(target="http://evil.example/health", host="localhost"))[0] == 421
        assert (await send(target="http://localhost/health", host="evil.example"))[0] == 421
        assert (await send(target="http://localhost:{port}/health", host="localhost:{port}"))[0] == 200


async def test_what_a_proxy_may_have_been_told_is_not_believed(make_app: MakeApp) -> None:
    async with served(make_app()) as send:
        assert (await send(host="evil.example", X_Forwarded_Host="localhost"))[0] == 421
        assert (await send(host="evil.example", Forwarded="host=localhost"))[0] == 421
        assert (await send("POST", "/api/v1/things", host="localhost", X_Forwarded_Host="evil.example",
                           Origin="http://evil.example"))[0] == 403  # fmt: skip


async def test_allowed_hosts_are_accepted_and_their_pages_are_ours(make_app: MakeApp) -> None:
    app = make_app(settings=Settings(allowed_hosts="hodei.example, other.example:8443"))
    async with served(app) as send:
        assert (await send(host="hodei.example:{port}"))[0] == 200
        assert (await send(host="other.example:8443"))[0] == 200
        assert (await send(host="other.example:8444"))[0] == 421
        for origin, status in (("https://hodei.example", 201), ("https://other.example", 403)):
            assert (await send("POST", "/api/v1/things", host="hodei.example", Origin=origin))[0] == status


async def test_where_other_machines_reach_us_names_are_free_but_pages_are_not(make_app: MakeApp) -> None:
    async with served(make_app(), ANYWHERE) as send:
        assert (await send(host="hodei.example"))[0] == 200
        page = {"host": "hodei.example:{port}", "Origin": "http://hodei.example:{port}"}
        assert (await send("POST", "/api/v1/things", **page))[0] == 403
        assert (await send("POST", "/api/v1/things", host=page["host"]))[0] == 201


async def test_allowed_hosts_turn_the_check_on_at_any_address(make_app: MakeApp) -> None:
    async with served(make_app(settings=Settings(allowed_hosts="hodei.example")), ANYWHERE) as send:
        assert (await send(host="evil.example"))[0] == 421
        assert (await send(host="hodei.example"))[0] == 200
        assert (await send(host="localhost"))[0] == 200


async def test_a_page_under_the_address_that_was_connected_to_is_ours(make_app: MakeApp) -> None:
    """Not by loopback: as if 127.0.0.1 were the address of this machine in its network."""
    app = make_app(settings=Settings(cors_origins="https://a.example", allowed_hosts="hodei.example"))
    async with served(app, ANYWHERE) as send:
        own = {"host": "127.0.0.1:{port}", "Origin": "http://127.0.0.1:{port}"}
        assert (await send("POST", "/api/v1/things", **own))[0] == 201
        assert (await send("POST", "/api/v1/things", **{**own, "Origin": "http://127.0.0.1:1"}))[0] == 403
        assert (await send(host="10.0.0.1"))[0] == 421


async def test_the_public_address_is_a_name_of_the_service(make_app: MakeApp) -> None:
    app = make_app(settings=Settings(public_url="https://hodei.example/scheduler"))
    async with served(app) as send:
        assert (await send(host="hodei.example"))[0] == 200
        assert (await send(host="evil.example"))[0] == 421
        page = {"Origin": "https://hodei.example"}
        assert (await send("POST", "/api/v1/things", host="hodei.example", **page))[0] == 201
        assert (await send("POST", "/api/v1/things", **page))[0] == 201, "a proxy changed the host"
        assert (await send("POST", "/api/v1/things", Origin="https://hodei.example:1"))[0] == 403


async def test_an_operator_may_take_any_name(make_app: MakeApp) -> None:
    async with served(make_app(settings=Settings(allowed_hosts="*"))) as send:
        assert (await send(host="evil.example"))[0] == 200
        assert (await send("POST", "/api/v1/things", host="evil.example", Origin="http://evil.example"))[0] == 403
