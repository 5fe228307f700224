"""With access on, each request needs a token whose role its route allows."""

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from schemas.access import Role, hash_of, token_of
from schemas.rest.health import Health
from shared.access import Principal, actor, calling
from shared.access.known import KnownTokens
from shared.telemetry import Metrics
from shared.telemetry.logging import name_caller
from shared.web import Api, json_response, polling
from tests.unit.web.conftest import Behaviour

Client = TestClient[Any, Any]
Make = Callable[..., web.Application]
TOKENS = {role: token_of(bytes([number]) * 32) for number, role in enumerate(Role)}
UNKNOWN = token_of(b"u" * 32)
EXPIRED = token_of(b"e" * 32)
ID = "0192f0c1-2345-7abc-8def-0123456789ab"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def tokens() -> KnownTokens:
    known = KnownTokens()
    for role, token in TOKENS.items():
        known.put(hash_of(token), Principal(f"id-{role}", f"the {role}", role))
    past = datetime.now(UTC) - timedelta(seconds=1)
    known.put(hash_of(EXPIRED), Principal("id-expired", "too old", Role.ADMIN, past))
    return known


@pytest.fixture
async def guarded(make_app: Make, tokens: KnownTokens) -> Any:
    async with TestClient(TestServer(make_app(tokens=tokens))) as client:
        yield client


NEEDED = [
    ("GET", "/api/v1/things", Role.VIEWER),
    ("GET", "/metrics", Role.VIEWER),
    ("GET", "/openapi.json", Role.VIEWER),
    ("POST", "/api/v1/things", Role.OPERATOR),
    ("DELETE", "/api/v1/things/0192f0c1-2345-7abc-8def-0123456789ab", Role.OPERATOR),
    ("PATCH", "/api/v1/things/0192f0c1-2345-7abc-8def-0123456789ab", Role.OPERATOR),
]


@pytest.mark.parametrize(("method", "path", "needed"), NEEDED)
@pytest.mark.parametrize("role", Role)
async def test_a_route_takes_its_role_and_those_above(
    guarded: Client, method: str, path: str, needed: Role, role: Role
) -> None:
    response = await guarded.request(method, path, headers=bearer(TOKENS[role]), json={"name": "a"})
    if role.covers(needed):
        assert response.status not in (401, 403)
        return
    assert response.status == 403
    problem = await response.json()
    assert problem["type"] == "urn:hodei:problem:forbidden"
    assert problem["role"] == needed.value
    assert problem["detail"] == f"this needs the role {needed}; the token has the role {role}"


@pytest.mark.parametrize(
    ("headers", "reason", "words"),
    [
        ({}, "none", "there is no token; send Authorization: Bearer with a token of the role viewer"),
        ({"Authorization": "Basic YTpi"}, "malformed", "the header Authorization has no bearer token"),
        ({"Authorization": "Bearer "}, "malformed", "no bearer token"),
        (bearer(UNKNOWN[:-1]), "malformed", "incomplete or mistyped"),
        (bearer("x" * 5000), "malformed", "no bearer token"),
        (bearer(UNKNOWN), "unknown", "does not exist or was revoked"),
        (bearer(EXPIRED), "expired", "has expired"),
    ],
)
async def test_a_request_without_a_valid_token_gets_401(
    guarded: Client, metrics: Metrics, headers: dict[str, str], reason: str, words: str
) -> None:
    response = await guarded.get("/api/v1/things", headers=headers)
    assert response.status == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    problem = await response.json()
    assert problem["type"] == "urn:hodei:problem:unauthorized"
    assert problem["role"] == "viewer"
    assert words in problem["detail"]
    assert f'hodei_access_refused_requests_total{{reason="{reason}"}} 1.0' in metrics.render().decode()


@pytest.mark.parametrize("token", [UNKNOWN, EXPIRED, TOKENS[Role.VIEWER], "hodei_" + "a" * 40])
async def test_no_log_line_and_no_response_repeats_a_token(guarded: Client, token: str) -> None:
    with capture_logs() as lines:
        response = await guarded.post("/api/v1/things", headers=bearer(token), json={"name": "a"})
    assert token[6:] not in await response.text() + str(response.headers) + str(lines)


@pytest.mark.parametrize("path", ["/health", "/health/live", "/swagger-ui", "/swagger-ui/assets/swagger-ui.css"])
async def test_health_and_swagger_ui_need_no_token(guarded: Client, path: str) -> None:
    assert (await guarded.get(path)).status == 200
    assert (await guarded.get(path, headers=bearer(UNKNOWN))).status == 200


async def test_a_path_that_does_not_exist_is_not_shown_without_a_token(guarded: Client) -> None:
    assert (await guarded.get("/api/v1/nothing")).status == 401
    assert (await guarded.delete("/api/v1/things")).status == 401
    assert (await guarded.get("/api/v1/nothing", headers=bearer(TOKENS[Role.VIEWER]))).status == 404
    assert (await guarded.delete("/api/v1/things", headers=bearer(TOKENS[Role.VIEWER]))).status == 405


async def test_head_needs_what_get_needs(guarded: Client) -> None:
    assert (await guarded.head("/api/v1/things")).status == 401
    assert (await guarded.head("/api/v1/things", headers=bearer(TOKENS[Role.VIEWER]))).status == 200
    assert (await guarded.head("/health")).status == 200


async def test_a_long_poll_whose_token_is_revoked_meanwhile_is_refused(
    guarded: Client, tokens: KnownTokens, behaviour: Behaviour
) -> None:
    async def poll(request: web.Request) -> web.StreamResponse:
        async with polling(request):
            tokens.forget(hash_of(TOKENS[Role.VIEWER]))
        return web.json_response("what the token may not see any more")

    behaviour.on_request = poll
    response = await guarded.get(f"/api/v1/things/{ID}", headers=bearer(TOKENS[Role.VIEWER]))
    assert response.status == 401
    assert "the token was revoked" in (await response.json())["detail"]


async def test_the_scheme_is_not_case_sensitive(guarded: Client) -> None:
    response = await guarded.get("/api/v1/things", headers={"Authorization": f"bearer  {TOKENS[Role.VIEWER]}"})
    assert response.status == 200


async def test_a_browser_asks_before_it_sends_a_token(guarded: Client) -> None:
    asks = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization",
    }
    response = await guarded.options("/api/v1/things", headers=asks)
    assert response.status == 204
    assert response.headers["Access-Control-Allow-Headers"] == "authorization"
    assert "PATCH" in response.headers["Access-Control-Allow-Methods"]


async def test_a_stream_ends_with_its_token(guarded: Client, tokens: KnownTokens) -> None:
    async with guarded.get("/api/v1/stream", headers=bearer(TOKENS[Role.VIEWER])) as response:
        await response.content.readuntil(b"\n\n")
        await response.content.readuntil(b"keep-alive\n\n")  # it goes on while the token is valid
        tokens.forget(hash_of(TOKENS[Role.VIEWER]))
        async with asyncio.timeout(5):
            await response.content.read()


async def test_a_forgotten_token_is_refused_at_once(guarded: Client, tokens: KnownTokens) -> None:
    headers = bearer(TOKENS[Role.ADMIN])
    assert (await guarded.get("/api/v1/things", headers=headers)).status == 200
    tokens.forget(hash_of(TOKENS[Role.ADMIN]))
    assert (await guarded.get("/api/v1/things", headers=headers)).status == 401


async def test_the_handler_knows_who_calls(guarded: Client, behaviour: Behaviour) -> None:
    seen = []

    async def look(_: web.Request) -> web.StreamResponse:
        seen.append((calling(), actor()))
        return web.Response()

    behaviour.on_request = look
    path = "/api/v1/things/0192f0c1-2345-7abc-8def-0123456789ab"
    headers = bearer(TOKENS[Role.VIEWER]) | {"X-Request-ID": "r1"}
    await guarded.get(path, headers=headers)
    ((call, who),) = seen
    assert call is not None
    assert call.principal is not None
    assert who is not None
    assert (who.id, who.name) == ("id-viewer", "the viewer")
    assert (call.method, call.route, call.path) == ("GET", "/api/v1/things/{id}", path)
    assert (call.request_id, call.address) == ("r1", "127.0.0.1")


async def test_with_access_off_every_request_may_do_all(client: Client, behaviour: Behaviour) -> None:
    async def look(_: web.Request) -> web.StreamResponse:
        assert calling() is None
        assert actor() is None
        return web.Response()

    behaviour.on_request = look
    path = "/api/v1/things/0192f0c1-2345-7abc-8def-0123456789ab"
    for headers in ({}, bearer(UNKNOWN)):
        assert (await client.get(path, headers=headers)).status == 200
        assert (await client.delete(path, headers=headers)).status == 204


async def test_health_says_whether_access_is_on(client: Client, guarded: Client) -> None:
    assert Health.model_validate(await (await client.get("/health")).json()).access == "off"
    assert Health.model_validate(await (await guarded.get("/health")).json()).access == "on"


async def test_the_document_tells_the_role_of_each_route(make_app: Make, tokens: KnownTokens) -> None:
    api = Api(tag="more")

    @api.post("/api/v1/more", summary="More", answers={200: None}, role=Role.ADMIN, description="Makes more.")
    async def more(request: web.Request) -> web.StreamResponse:
        return json_response(b"{}")

    async with TestClient(TestServer(make_app(apis=[api], tokens=tokens))) as client:
        document = await (await client.get("/openapi.json", headers=bearer(TOKENS[Role.VIEWER]))).json()
        assert (await client.post("/api/v1/more", headers=bearer(TOKENS[Role.OPERATOR]))).status == 403
    post = document["paths"]["/api/v1/more"]["post"]
    assert post["x-hodei-role"] == "admin"
    assert post["security"] == [{"token": []}]
    assert re.search(r"Makes more\.\s+Needs the role `admin`\.", post["description"])
    assert {"401", "403"} <= post["responses"].keys()
    health = document["paths"]["/health"]["get"]
    assert health["security"] == []
    assert "401" not in health["responses"]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert "WWW-Authenticate" in document["components"]["responses"]["Problem401"]["headers"]


async def test_no_token_is_refused_before_the_list_of_tokens_was_read(make_app: Make, tokens: KnownTokens) -> None:
    tokens.complete = False
    async with TestClient(TestServer(make_app(tokens=tokens))) as client:
        known = await client.get("/api/v1/things", headers=bearer(TOKENS[Role.VIEWER]))
        perhaps = await client.get("/api/v1/things", headers=bearer(UNKNOWN))
        problem = await perhaps.json()
        mistyped = await client.get("/api/v1/things", headers=bearer(UNKNOWN[:-1]))
        tokens.complete = True
        unknown = await client.get("/api/v1/things", headers=bearer(UNKNOWN))

    assert [one.status for one in (known, perhaps, mistyped, unknown)] == [200, 503, 401, 401]
    assert perhaps.headers["Retry-After"] == "1"
    assert problem["type"] == "urn:hodei:problem:tokens-unread"
    assert "the list of tokens" in problem["detail"]


async def test_log_lines_name_the_token_of_their_own_request_alone(guarded: Client) -> None:
    admitted, refused = bearer(TOKENS[Role.VIEWER]), bearer(UNKNOWN)
    requests: list[tuple[str, dict[str, str], str | None]] = [
        ("/api/v1/things", admitted, "id-viewer"),
        ("/health", {}, None),
        ("/api/v1/things", bearer(TOKENS[Role.ADMIN]), "id-admin"),
        ("/api/v1/things", {}, None),
        ("/metrics", admitted, "id-viewer"),
        ("/api/v1/things", refused, None),
        ("/api/v1/things", admitted, "id-viewer"),
        ("/nowhere", {}, None),
    ]
    with capture_logs(processors=[name_caller]) as lines:
        for path, headers, _ in requests:
            async with guarded.get(path, headers=headers) as response:
                await response.read()
    told = [line.get("token_id") for line in lines if line["event"] == "http_request"]
    assert told == [token_id for *_, token_id in requests]
