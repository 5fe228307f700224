"""Each route of the three services that changes something leaves one row in the audit log of its service.

The routes are those of the OpenAPI documents, so that a new one needs a line here: how it is called so that it changes
something, or that it never does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

import orchestrator.app
import scheduler.app
import worker_manager.app
from orchestrator.settings import OrchestratorSettings
from scheduler.settings import SchedulerSettings
from schemas.access import Role, hash_of, token_of
from schemas.subjects import DeadLetter
from shared.access import Principal
from shared.audit import Refusals
from shared.bus import Bus
from shared.ids import new_id
from shared.keys import ISSUER, make
from shared.postgres import Leadership
from shared.service import Service, start_all, stop_all
from shared.web import WebServer
from tests.fixtures.servers import with_password
from worker_manager.settings import WorkerManagerSettings

STUB: Final = [sys.executable, "-P", "-m", "tests.integration.worker_manager.stub_agent", "normal"]
ORCHESTRATOR, SCHEDULER, WORKER_MANAGER = SERVICES = ("orchestrator", "scheduler", "worker_manager")
LATER: Final = (datetime.now(UTC) + timedelta(days=1)).isoformat()
CONSUMERS: Final = {
    ORCHESTRATOR: "orchestrator-runs",
    SCHEDULER: "scheduler-placement",
    WORKER_MANAGER: "worker-manager-dispatch",
}
DEADLINE: Final = 20.0
ADMIN: Final = Principal("01900000-0000-7000-8000-00000000000a", "alice", Role.ADMIN)
VIEWER: Final = Principal("01900000-0000-7000-8000-00000000000b", "bob", Role.VIEWER)
TOKENS: Final = {who.id: token_of(bytes([number]) * 32) for number, who in enumerate((ADMIN, VIEWER))}
Route = tuple[str, str, str]
"""The service, the method, and the path's template."""


@dataclass
class Platform:
    """The three services, and a client with the role `admin`."""

    urls: Mapping[str, str]
    services: list[Service]
    bus: Bus
    http: aiohttp.ClientSession

    async def call(
        self, service: str, method: str, path: str, body: object = None, *, request_id: str = "prepared"
    ) -> Any:
        headers = {"Authorization": f"Bearer {TOKENS[ADMIN.id]}", "X-Request-ID": request_id}
        async with self.http.request(method, self.urls[service] + path, json=body, headers=headers) as response:
            assert response.status < 300, f"{method} {path}: {response.status} {await response.text()}"
            return await response.json(content_type=None) if response.status != 204 else None

    async def refused(self, service: str, method: str, path: str, *, token: str | None) -> int:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with self.http.request(method, self.urls[service] + path, headers=headers) as response:
            return response.status

    async def log(self, service: str, filters: str) -> list[Any]:
        found: list[Any] = await self.call(service, "GET", f"/api/v1/audit?{filters}")
        return found

    async def documented(self) -> dict[Route, Any]:
        """The operations of the OpenAPI documents that may change something."""
        found = {}
        for service in SERVICES:
            document = await self.call(service, "GET", "/openapi.json")
            for path, methods in document["paths"].items():
                for method, operation in methods.items():
                    if method not in ("get", "parameters"):
                        found[service, method.upper(), path] = operation
        return found

    # ------------------------------------------------------------------ what calls need

    async def token(self) -> str:
        body = {"name": "ci", "role": "viewer"}
        return str((await self.call(ORCHESTRATOR, "POST", "/api/v1/tokens", body))["id"])

    async def job(self) -> str:
        """A job that waits for its time."""
        return str((await self.call(ORCHESTRATOR, "POST", "/api/v1/jobs", {"command": "true", "run_at": LATER}))["id"])

    async def ended_job(self) -> str:
        job = await self.job()
        await self.call(ORCHESTRATOR, "POST", f"/api/v1/jobs/{job}/cancel")
        ended = await self.call(ORCHESTRATOR, "GET", f"/api/v1/jobs/{job}/status?wait={DEADLINE:g}")
        assert ended["status"] == "cancelled"
        return job

    async def pipeline(self) -> str:
        return str((await self.call(ORCHESTRATOR, "POST", "/api/v1/pipelines", PIPELINE))["id"])

    async def approval(self) -> str:
        """A task that waits for a decision."""
        pipeline = {"name": "ask", "steps": [{"name": "ask", "type": "approval"}]}
        job = await self.call(ORCHESTRATOR, "POST", "/api/v1/jobs", {"pipeline": pipeline})
        return str(job["tasks"][0]["id"])

    async def schedule(self) -> str:
        return str((await self.call(SCHEDULER, "POST", "/api/v1/schedule", SCHEDULE))["id"])

    async def paused_schedule(self) -> str:
        schedule = await self.schedule()
        await self.call(SCHEDULER, "POST", f"/api/v1/scheduled/{schedule}/pause")
        return schedule

    async def worker(self) -> str:
        """A worker without an agent."""
        return str((await self.call(SCHEDULER, "POST", "/api/v1/workers", {"type": "default"}))["id"])

    async def drained_worker(self) -> str:
        worker = await self.worker()
        await self.call(SCHEDULER, "POST", f"/api/v1/workers/{worker}/drain")
        return worker

    async def managed_worker(self) -> str:
        return str((await self.call(WORKER_MANAGER, "POST", "/api/v1/workers", {}))["id"])

    async def join_token(self) -> str:
        return str((await self.call(WORKER_MANAGER, "POST", "/api/v1/join-tokens", {"name": "rack 7"}))["id"])

    async def credentials(self) -> str:
        return str((await self.call(WORKER_MANAGER, "POST", "/api/v1/credentials", {"name": "board"}))["id"])

    async def dead_letter(self, service: str) -> str:
        event = {"specversion": "1.0", "id": new_id(), "source": "/test", "type": "jobs.started", "subject": new_id()}
        letter = DeadLetter(
            consumer=CONSUMERS[service],
            subject=self.bus.catalogue.event("jobs.started"),
            stream_seq=1,
            deliveries=5,
            error="no",
            event=event,
        )
        subject = self.bus.catalogue.dead(CONSUMERS[service])
        await self.bus.publish(subject, letter.model_dump_json().encode(), msg_id=new_id())
        return str((await self.call(service, "GET", "/api/v1/dead-letters"))[0]["id"])


PIPELINE: Final = {"name": "build", "steps": [{"name": "one", "command": "true"}]}
SCHEDULE: Final = {"command": "true", "cron": "0 3 * * *"}

Prepare = Callable[[Platform], Awaitable[str]]
CALLS: Final[dict[Route, tuple[Prepare | None, object]]] = {
    (ORCHESTRATOR, "POST", "/api/v1/jobs"): (None, {"command": "true"}),
    (ORCHESTRATOR, "POST", "/api/v1/jobs/batch"): (None, [{"command": "true"}, {"command": "true"}]),
    (ORCHESTRATOR, "PATCH", "/api/v1/jobs/{id}"): (Platform.job, {"priority": "high"}),
    (ORCHESTRATOR, "POST", "/api/v1/jobs/{id}/cancel"): (Platform.job, None),
    (ORCHESTRATOR, "POST", "/api/v1/jobs/{id}/rerun"): (Platform.ended_job, {}),
    (ORCHESTRATOR, "POST", "/api/v1/jobs/cancel"): (Platform.job, {"filter": {}}),
    (ORCHESTRATOR, "POST", "/api/v1/jobs/rerun"): (Platform.ended_job, {"filter": {}, "limit": 1}),
    (ORCHESTRATOR, "POST", "/api/v1/jobs/delete"): (Platform.ended_job, {"filter": {}}),
    (ORCHESTRATOR, "DELETE", "/api/v1/jobs/{id}"): (Platform.ended_job, None),
    (ORCHESTRATOR, "DELETE", "/api/v1/jobs"): (Platform.ended_job, None),
    (ORCHESTRATOR, "POST", "/api/v1/pipelines"): (None, PIPELINE),
    (ORCHESTRATOR, "PUT", "/api/v1/pipelines/{id}"): (Platform.pipeline, PIPELINE),
    (ORCHESTRATOR, "DELETE", "/api/v1/pipelines/{id}"): (Platform.pipeline, None),
    (ORCHESTRATOR, "POST", "/api/v1/tasks/{id}/approve"): (Platform.approval, {}),
    (ORCHESTRATOR, "POST", "/api/v1/tasks/{id}/reject"): (Platform.approval, {}),
    (ORCHESTRATOR, "POST", "/api/v1/tokens"): (None, {"name": "ci", "role": "viewer"}),
    (ORCHESTRATOR, "DELETE", "/api/v1/tokens/{id}"): (Platform.token, None),
    (SCHEDULER, "POST", "/api/v1/schedule"): (None, SCHEDULE),
    (SCHEDULER, "PATCH", "/api/v1/scheduled/{id}"): (Platform.schedule, {"name": "nightly"}),
    (SCHEDULER, "POST", "/api/v1/scheduled/{id}/pause"): (Platform.schedule, None),
    (SCHEDULER, "POST", "/api/v1/scheduled/{id}/resume"): (Platform.paused_schedule, None),
    (SCHEDULER, "POST", "/api/v1/scheduled/{id}/trigger"): (Platform.schedule, None),
    (SCHEDULER, "DELETE", "/api/v1/scheduled/{id}"): (Platform.schedule, None),
    (SCHEDULER, "POST", "/api/v1/workers"): (None, {"type": "default"}),
    (SCHEDULER, "POST", "/api/v1/workers/{id}/heartbeat"): (Platform.worker, {"labels": {"zone": "north"}}),
    (SCHEDULER, "POST", "/api/v1/workers/{id}/drain"): (Platform.worker, None),
    (SCHEDULER, "POST", "/api/v1/workers/{id}/resume"): (Platform.drained_worker, None),
    (SCHEDULER, "DELETE", "/api/v1/workers/{id}"): (Platform.worker, None),
    (WORKER_MANAGER, "POST", "/api/v1/workers"): (None, {}),
    (WORKER_MANAGER, "DELETE", "/api/v1/workers/{id}"): (Platform.managed_worker, None),
    (WORKER_MANAGER, "POST", "/api/v1/execute"): (None, {"command": "true"}),
    (WORKER_MANAGER, "POST", "/api/v1/workers/{id}/revoke"): (Platform.managed_worker, None),
    (WORKER_MANAGER, "POST", "/api/v1/join-tokens"): (None, {"name": "rack 7"}),
    (WORKER_MANAGER, "DELETE", "/api/v1/join-tokens/{id}"): (Platform.join_token, None),
    (WORKER_MANAGER, "POST", "/api/v1/credentials"): (None, {"name": "board"}),
    (WORKER_MANAGER, "DELETE", "/api/v1/credentials/{id}"): (Platform.credentials, None),
}
"""How each route is called: what makes the entity of its path, and the body."""

SESSIONS: Final[set[Route]] = {
    (ORCHESTRATOR, "POST", "/api/v1/session"),
    (ORCHESTRATOR, "POST", "/api/v1/session/bearer"),
    (ORCHESTRATOR, "DELETE", "/api/v1/session"),
}
"""Routes that every role may call; tests/integration/orchestrator/test_sessions.py has what they leave."""

NOTHING: Final[dict[Route, object]] = {
    (ORCHESTRATOR, "POST", "/api/v1/pipelines/validate"): PIPELINE,
    (ORCHESTRATOR, "POST", "/api/v1/pipelines/plan"): {"pipeline": PIPELINE},
}
"""Routes that change nothing, and a body for each."""


def dead_letters(service: str) -> dict[Route, tuple[Prepare | None, object]]:
    async def letter(platform: Platform) -> str:
        return await platform.dead_letter(service)

    at = "/api/v1/dead-letters/{id}"
    return {(service, "POST", f"{at}/resend"): (letter, None), (service, "DELETE", at): (letter, None)}


for _service in SERVICES:
    CALLS.update(dead_letters(_service))


@pytest.fixture
async def platform(
    nats_url: str, migrated_database_url: str, namespace: str, tmp_path: Path
) -> AsyncIterator[Platform]:
    common: dict[str, Any] = {
        "nats_url": with_password(nats_url),
        "database_url": migrated_database_url,
        "namespace": namespace,
        "port": 0,
        "database_pool": 4,
        "linger_ms": 2,
        "auth": "on",
    }
    make(tmp_path / "keys", namespace=namespace)
    tokens = tmp_path / "tokens.json"
    entries = [
        {"id": who.id, "name": who.name, "role": who.role, "sha256": hash_of(TOKENS[who.id]).hex()}
        for who in (ADMIN, VIEWER)
    ]
    tokens.write_text(json.dumps(entries))
    async with AsyncExitStack() as stack:
        urls, all_services = {}, []
        for name, services in {
            ORCHESTRATOR: orchestrator.app.build(OrchestratorSettings(**common, feed="off", bootstrap_tokens=tokens)),
            SCHEDULER: scheduler.app.build(SchedulerSettings(**common)),
            WORKER_MANAGER: worker_manager.app.build(
                WorkerManagerSettings(**common, data_dir=tmp_path, issuer_dir=tmp_path / "keys" / ISSUER), agent=STUB
            ),
        }.items():
            started: list[Service] = []
            stack.push_async_callback(stop_all, started, deadline=10)
            await start_all(services, started)
            [web] = [one for one in services if isinstance(one, WebServer)]
            urls[name] = f"http://127.0.0.1:{web.port}"
            all_services += services
        bus = Bus(nats_url, name="test", namespace=namespace, start_deadline=10)
        await bus.start()
        stack.push_async_callback(bus.stop)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        [leadership] = [one for one in all_services if isinstance(one, Leadership)]
        async with asyncio.timeout(DEADLINE):
            await leadership.led()
        yield Platform(urls, all_services, bus, http)


async def test_each_route_that_changes_something_leaves_one_row(platform: Platform) -> None:
    documented = await platform.documented()
    assert documented.keys() == CALLS.keys() | NOTHING.keys() | SESSIONS
    for route, (prepare, body) in CALLS.items():
        service, method, template = route
        entity = None if prepare is None else await prepare(platform)
        path = template if entity is None else template.replace("{id}", entity)
        query = f"?finished_before={LATER}" if route == (ORCHESTRATOR, "DELETE", "/api/v1/jobs") else ""
        request_id = f"{service} {method} {template}"
        answer = await platform.call(service, method, path + query.replace("+", "%2B"), body, request_id=request_id)
        entries = await platform.log(service, f"request_id={request_id.replace(' ', '%20')}")
        assert len(entries) == 1, (route, entries)
        [entry] = entries
        assert (entry["outcome"], entry["by"]) == ("changed", {"id": ADMIN.id, "name": "alice"}), route
        assert (entry["method"], entry["route"], entry["address"]) == (method, template, "127.0.0.1"), route
        assert set(entry["entity_ids"]) >= made(answer) | ({entity} - {None}), route


def made(answer: Any) -> set[str]:
    """The ids of what an answer shows."""
    return {one["id"] for one in (answer if isinstance(answer, list) else [answer] if answer else []) if "id" in one}


async def test_refusals_are_told_and_what_changes_nothing_is_not(platform: Platform) -> None:
    await check_refusals(platform)
    await check_that_nothing_leaves_nothing(platform)
    await check_what_is_taken_back(platform)
    await check_retention(platform)


async def check_retention(platform: Platform) -> None:
    headers = {"Authorization": f"Bearer {TOKENS[ADMIN.id]}"}
    for service in SERVICES:
        async with platform.http.get(f"{platform.urls[service]}/metrics", headers=headers) as response:
            metrics = await response.text()
        assert 'hodei_retention_limit_seconds{kind="audit_entries"} 3.1536e+07' in metrics, service


async def check_refusals(platform: Platform) -> None:
    for service, method, template in CALLS:
        path = template.replace("{id}", new_id())
        assert await platform.refused(service, method, path, token=None) == 401
        assert await platform.refused(service, method, path, token=TOKENS[VIEWER.id]) == 403
    for refusals in platform.services:
        if isinstance(refusals, Refusals):
            refusals.wake()
            await refusals.next_run()
    for service in SERVICES:
        routes = sorted((method, template) for name, method, template in CALLS if name == service)
        strangers = await platform.log(service, "outcome=unauthorized")
        assert {(entry["by"], entry["address"]) for entry in strangers} == {(None, "127.0.0.1")}
        assert sum(entry["count"] for entry in strangers) == len(routes)
        assert len(strangers) < len(routes)
        forbidden = await platform.log(service, "by=bob&outcome=forbidden")
        assert sorted((entry["method"], entry["route"]) for entry in forbidden) == routes
        assert await platform.log(service, "outcome=changed") == []


async def check_that_nothing_leaves_nothing(platform: Platform) -> None:
    worker, schedule, job = await platform.worker(), await platform.paused_schedule(), await platform.job()
    before = [await platform.log(service, "limit=1000") for service in SERVICES]
    await platform.call(SCHEDULER, "POST", f"/api/v1/workers/{worker}/heartbeat", {})
    await platform.call(SCHEDULER, "POST", f"/api/v1/workers/{worker}/resume")
    await platform.call(SCHEDULER, "POST", f"/api/v1/scheduled/{schedule}/pause")
    await platform.call(ORCHESTRATOR, "PATCH", f"/api/v1/jobs/{job}", {"priority": "normal"})
    await platform.call(ORCHESTRATOR, "DELETE", "/api/v1/jobs?finished_before=2020-01-01T00:00:00Z")
    for (service, method, template), body in NOTHING.items():
        await platform.call(service, method, template, body)
    assert [await platform.log(service, "limit=1000") for service in SERVICES] == before


async def check_what_is_taken_back(platform: Platform) -> None:
    with pytest.raises(AssertionError, match="404"):
        await platform.call(
            SCHEDULER, "POST", "/api/v1/schedule", {"job_id": new_id(), "cron": "0 3 * * *"}, request_id="taken back"
        )
    failed, changed = await platform.log(SCHEDULER, "request_id=taken%20back")
    assert (failed["outcome"], changed["outcome"]) == ("failed", "changed")
    assert failed["entity_ids"] == changed["entity_ids"]
