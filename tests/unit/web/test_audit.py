"""Refused calls reach the audit log, and the log is read by administrators, in pages or whole."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from schemas.access import Role, hash_of, token_of
from schemas.rest.audit import AuditOutcome, AuditQuery
from shared.access import Call, Principal
from shared.access.known import KnownTokens
from shared.audit import AuditStore
from shared.errors import Forbidden, NotYours
from shared.postgres import Page
from shared.web import audit
from tests.unit.web.conftest import Behaviour

Client = TestClient[Any, Any]
Make = Callable[..., web.Application]
Refused = list[tuple[Call, AuditOutcome]]
TOKENS = {role: token_of(bytes([number]) * 32) for number, role in enumerate(Role)}
THING = "/api/v1/things/0192f0c1-2345-7abc-8def-0123456789ab"


def bearer(role: Role) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[role]}"}


@dataclass
class Log:
    """A log of two rows, as far as the route needs one."""

    asked: list[AuditQuery] = field(default_factory=list)

    async def find(self, query: AuditQuery, before: str | None) -> Page:
        self.asked.append(query)
        return Page(['{"id":"2"}'], THING.rpartition("/")[2]) if before is None else Page(['{"id":"1"}'])

    async def export(self, query: AuditQuery) -> AsyncIterator[bytes]:
        self.asked.append(query)
        yield b'{"id":"2"}\n'
        yield b'{"id":"1"}\n'


@pytest.fixture
def refused() -> Refused:
    return []


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def tokens() -> KnownTokens:
    known = KnownTokens()
    for role, token in TOKENS.items():
        known.put(hash_of(token), Principal(f"id-{role}", f"the {role}", role))
    return known


@pytest.fixture
async def guarded(make_app: Make, tokens: KnownTokens, refused: Refused) -> AsyncIterator[Client]:
    app = make_app(tokens=tokens, refused=lambda call, outcome: refused.append((call, outcome)))
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.fixture
async def logged(make_app: Make, tokens: KnownTokens, log: Log) -> AsyncIterator[Client]:
    async with TestClient(TestServer(make_app(tokens=tokens, apis=[audit.api(cast(AuditStore, log))]))) as client:
        yield client


async def test_a_call_without_a_token_is_noted(guarded: Client, refused: Refused) -> None:
    await guarded.delete(THING, headers={"X-Request-ID": "q1"})
    [(call, outcome)] = refused
    assert outcome is AuditOutcome.UNAUTHORIZED
    assert (call.principal, call.address, call.request_id) == (None, "127.0.0.1", "q1")
    assert (call.method, call.route, call.path) == ("DELETE", "/api/v1/things/{id}", THING)


async def test_a_call_for_which_the_role_does_not_suffice_is_noted_with_its_token(
    guarded: Client, refused: Refused
) -> None:
    await guarded.delete(THING, headers=bearer(Role.VIEWER))
    [(call, outcome)] = refused
    assert outcome is AuditOutcome.FORBIDDEN
    assert call.principal is not None
    assert call.principal.name == "the viewer"


@pytest.mark.parametrize("error", [Forbidden("no"), NotYours("thing", Role.SUBMITTER, Role.OPERATOR)])
async def test_what_a_handler_forbids_is_noted(
    guarded: Client, refused: Refused, behaviour: Behaviour, error: Exception
) -> None:
    behaviour.fails_with = error
    response = await guarded.post("/api/v1/things", json={"name": "a"}, headers=bearer(Role.OPERATOR))
    assert response.status == 403
    [(call, outcome)] = refused
    assert outcome is AuditOutcome.FORBIDDEN
    assert call.principal is not None


async def test_a_foreign_page_is_noted_without_the_token_of_the_request_before(
    guarded: Client, refused: Refused
) -> None:
    assert (await guarded.get("/api/v1/things", headers=bearer(Role.VIEWER))).status == 200
    await guarded.post("/api/v1/things", headers={**bearer(Role.ADMIN), "Origin": "https://evil.example"})
    [(call, outcome)] = refused
    assert outcome is AuditOutcome.FORBIDDEN
    assert call.principal is None
    assert call.method == "POST"


async def test_what_is_not_refused_is_not_noted(guarded: Client, refused: Refused) -> None:
    await guarded.get("/health")
    await guarded.get("/api/v1/nothing", headers=bearer(Role.VIEWER))
    await guarded.post("/api/v1/things", json={}, headers=bearer(Role.OPERATOR))
    assert refused == []


async def test_with_access_off_nothing_is_noted(make_app: Make, refused: Refused) -> None:
    app = make_app(refused=lambda call, outcome: refused.append((call, outcome)))
    async with TestClient(TestServer(app)) as client:
        response = await client.post("/api/v1/things", headers={"Origin": "https://evil.example"})
    assert response.status == 403
    assert refused == []


async def test_the_log_is_read_in_pages(logged: Client) -> None:
    first = await logged.get("/api/v1/audit?limit=1", headers=bearer(Role.ADMIN))
    assert await first.json() == [{"id": "2"}]
    following = first.headers["Link"].partition(">")[0].removeprefix("<")
    second = await logged.get(following, headers=bearer(Role.ADMIN))
    assert await second.json() == [{"id": "1"}]
    assert "Link" not in second.headers


async def test_the_log_is_exported_whole(logged: Client, log: Log) -> None:
    response = await logged.get(
        "/api/v1/audit?by=alice", headers={**bearer(Role.ADMIN), "Accept": "application/x-ndjson"}
    )
    assert response.content_type == "application/x-ndjson"
    assert [orjson.loads(line) for line in (await response.read()).splitlines()] == [{"id": "2"}, {"id": "1"}]
    assert log.asked == [AuditQuery(by="alice")]


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
async def test_only_administrators_read_the_log(logged: Client, log: Log, role: Role) -> None:
    response = await logged.get("/api/v1/audit", headers=bearer(role))
    assert response.status == 403
    assert (await response.json())["role"] == "admin"
    assert log.asked == []


async def test_a_filter_that_cannot_match_is_refused(logged: Client) -> None:
    response = await logged.get("/api/v1/audit?address=localhost", headers=bearer(Role.ADMIN))
    assert response.status == 422
    assert "should be an IP address" in await response.text()
