"""Every route of the three services, from their own documents: which role may call it, and that no other may.

The services are built and not started: a request that is refused reaches no handler, and one that is let through fails
for want of a database.
"""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from orchestrator.app import build as build_orchestrator
from orchestrator.settings import OrchestratorSettings
from scheduler.app import build as build_scheduler
from scheduler.settings import SchedulerSettings
from schemas.access import Role, hash_of, token_of
from shared.access import Principal
from shared.access.sync import TokenSync
from shared.service import Service
from shared.web import DOCUMENT, WebServer
from shared.web.guard import Guard
from worker_manager.app import build as build_worker_manager
from worker_manager.settings import WorkerManagerSettings

ID = "0192f0c1-2345-7abc-8def-0123456789ab"
TOKENS = {role: token_of(bytes([number]) * 32) for number, role in enumerate(Role)}
REVOKED, EXPIRED, FORGED = token_of(b"r" * 32), token_of(b"e" * 32), token_of(b"f" * 32)
BAD: dict[str, dict[str, str]] = {
    "none": {},
    "of another scheme": {"Authorization": "Basic aG9kZWk6aG9kZWk="},
    "malformed": {"Authorization": f"Bearer {FORGED[:-3]}"},
    "forged": {"Authorization": f"Bearer {FORGED}"},
    "expired": {"Authorization": f"Bearer {EXPIRED}"},
    "revoked": {"Authorization": f"Bearer {REVOKED}"},
}

NATS = "nats://hodei:password@127.0.0.1:4222"

PUBLIC = {"GET /health", "GET /health/live", "GET /swagger-ui", "GET /schemas/pipeline.json"}
PAGES = re.compile("/|/swagger-ui/assets|/console.*")
"""What browsers load: in no document, and for everyone."""
EXCEPTIONS: dict[str, Role] = {
    "POST /api/v1/jobs": Role.SUBMITTER,
    "POST /api/v1/jobs/batch": Role.SUBMITTER,
    "POST /api/v1/jobs/cancel": Role.SUBMITTER,
    "POST /api/v1/jobs/rerun": Role.SUBMITTER,
    "POST /api/v1/jobs/{id}/rerun": Role.SUBMITTER,
    "PATCH /api/v1/jobs/{id}": Role.SUBMITTER,
    "POST /api/v1/jobs/{id}/cancel": Role.SUBMITTER,
    "POST /api/v1/execute": Role.SUBMITTER,
    "POST /api/v1/pipelines/validate": Role.VIEWER,
    "POST /api/v1/pipelines/plan": Role.VIEWER,
    "GET /api/v1/dead-letters": Role.OPERATOR,
    "GET /api/v1/dead-letters/{id}": Role.OPERATOR,
    "GET /api/v1/audit": Role.ADMIN,
    "POST /api/v1/session": Role.VIEWER,
    "POST /api/v1/session/bearer": Role.VIEWER,
    "DELETE /api/v1/session": Role.VIEWER,
    "GET /api/v1/tokens": Role.ADMIN,
    "GET /api/v1/tokens/{id}": Role.ADMIN,
    "POST /api/v1/tokens": Role.ADMIN,
    "DELETE /api/v1/tokens/{id}": Role.ADMIN,
}
"""Where a read needs another role than viewer, and a change another than operator."""

BUILT: dict[str, Callable[[], Sequence[Service]]] = {
    "orchestrator": lambda: build_orchestrator(OrchestratorSettings(auth="on", nats_url=NATS, port=0)),
    "scheduler": lambda: build_scheduler(SchedulerSettings(auth="on", nats_url=NATS, port=0)),
    "worker_manager": lambda: build_worker_manager(WorkerManagerSettings(auth="on", nats_url=NATS, port=0)),
}


@dataclass
class Closed:
    """A service with access on, and its document."""

    client: TestClient[Any, Any]
    document: dict[str, Any]

    def routes(self) -> list[tuple[str, str, Role | None]]:
        """Method, path and role of each documented route; None for a public one."""
        found = []
        for path, operations in self.document["paths"].items():
            for method, operation in operations.items():
                public = operation["security"] == []
                found.append((method.upper(), path, None if public else Role(operation["x-hodei-role"])))
        return found

    async def status(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, Any]:
        filled = path.replace("{id}", ID)
        for name in ("{name}", "{key}", "{version}", "{execution_id}", "{job_id}"):
            filled = filled.replace(name, ID)
        assert "{" not in filled, filled
        async with self.client.request(method, filled, headers=headers, json={}) as response:
            problem = response.content_type == "application/problem+json"
            return response.status, await response.json(content_type=None) if problem else None


def bearer(role: Role) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[role]}"}


@pytest.fixture(params=BUILT)
async def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Closed]:
    async def at_once(_guard: Guard, _request: web.Request) -> None:
        """Wrong tokens are answered at once here, as there are hundreds of them."""

    monkeypatch.setattr(Guard, "slow_down", at_once)
    services = BUILT[request.param]()
    [server] = [one for one in services if isinstance(one, WebServer)]
    [sync] = [one for one in services if isinstance(one, TokenSync)]
    known = sync.known
    for role, token in TOKENS.items():
        known.put(hash_of(token), Principal(ID, f"the {role}", role))
    known.put(hash_of(EXPIRED), Principal(ID, "too old", Role.ADMIN, datetime.now(UTC) - timedelta(minutes=1)))
    known.put(hash_of(REVOKED), Principal(ID, "revoked", Role.ADMIN))
    sync.revoked(ID, hash_of(REVOKED))
    async with TestClient(TestServer(server.app)) as client:
        yield Closed(client, orjson.loads(server.app[DOCUMENT].content))


async def test_each_route_has_the_role_that_is_meant(service: Closed) -> None:
    for method, path, role in service.routes():
        route = f"{method} {path}"
        expected = None if route in PUBLIC else EXCEPTIONS.get(route)
        if expected is None and route not in PUBLIC:
            expected = Role.VIEWER if method == "GET" else Role.OPERATOR
        assert role is expected, route


async def test_the_document_has_every_route_but_those_of_pages(service: Closed) -> None:
    served = {
        (route.method, route.resource.canonical)
        for route in service.client.app.router.routes()
        if route.resource is not None and route.method != "HEAD" and not PAGES.fullmatch(route.resource.canonical)
    }
    assert served == {(method, path) for method, path, _ in service.routes()}


async def test_no_route_but_the_public_ones_takes_a_bad_token(service: Closed) -> None:
    for method, path, role in service.routes():
        for kind, headers in BAD.items():
            status, problem = await service.status(method, path, headers)
            if role is None:
                assert status not in (401, 403), (method, path, kind)
            else:
                assert (status, problem["role"]) == (401, role.value), (method, path, kind)


async def test_a_route_takes_its_role_and_those_above_it(service: Closed) -> None:
    for method, path, role in service.routes():
        for has in Role:
            status, problem = await service.status(method, path, bearer(has))
            if role is None or has.covers(role):
                assert status not in (401, 403), (method, path, has, problem)
            else:
                assert (status, problem["role"]) == (403, role.value), (method, path, has)
