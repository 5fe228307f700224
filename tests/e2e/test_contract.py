"""The documents: valid OpenAPI, every promised route in them, Swagger UI in a real browser, metrics and health."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import aiohttp
import nats
import pytest
from openapi_spec_validator import validate

from hodei.client import Client
from schemas.cloudevents import encode_batch, wrap
from schemas.events import WorkerOffline
from schemas.rest.executions import ExecuteRequest
from schemas.rest.jobs import JobCreate
from schemas.rest.schedules import ScheduleCreate
from schemas.rest.workers import WorkerRegister, WorkerStart
from schemas.states import TaskStatus
from schemas.subjects import DeadLetter
from shared.version import platform_version
from tests.e2e.framework.config import E2EConfig
from tests.e2e.framework.data import command_job, pipeline, step, unique
from tests.e2e.framework.http import RawHttp, checked_client
from tests.e2e.framework.openapi import OpenApiCheck
from tests.e2e.framework.platform import SERVICES, Platform

PROMISED = {
    "orchestrator": """
        POST /api/v1/pipelines | GET /api/v1/pipelines | GET /api/v1/pipelines/{id} | PUT /api/v1/pipelines/{id}
        GET /api/v1/pipelines/{id}/versions | GET /api/v1/pipelines/{id}/versions/{version} | DELETE /api/v1/jobs
        DELETE /api/v1/pipelines/{id} | POST /api/v1/jobs | POST /api/v1/jobs/batch | GET /api/v1/jobs
        GET /api/v1/jobs/{id} | PATCH /api/v1/jobs/{id} | GET /api/v1/jobs/{id}/status | GET /api/v1/jobs/{id}/events
        GET /api/v1/jobs/{id}/logs | POST /api/v1/jobs/{id}/cancel | POST /api/v1/jobs/{id}/rerun
        DELETE /api/v1/jobs/{id} | POST /api/v1/pipelines/validate | POST /api/v1/pipelines/plan
        GET /schemas/pipeline.json | GET /api/v1/platform
        GET /api/v1/jobs/counts | GET /api/v1/jobs/throughput | GET /api/v1/pipelines/{id}/statistics
        POST /api/v1/jobs/cancel | POST /api/v1/jobs/rerun | POST /api/v1/jobs/delete
        GET /api/v1/approvals | GET /api/v1/concurrency
        POST /api/v1/session | POST /api/v1/session/bearer | DELETE /api/v1/session
        POST /api/v1/tokens | GET /api/v1/tokens | GET /api/v1/tokens/{id} | DELETE /api/v1/tokens/{id}
        POST /api/v1/tasks/{id}/approve | POST /api/v1/tasks/{id}/reject | GET /api/v1/events""",
    "scheduler": """
        POST /api/v1/schedule | GET /api/v1/scheduled | GET /api/v1/scheduled/{id} | DELETE /api/v1/scheduled/{id}
        PATCH /api/v1/scheduled/{id} | POST /api/v1/scheduled/{id}/pause | POST /api/v1/scheduled/{id}/resume
        POST /api/v1/scheduled/{id}/trigger | GET /api/v1/scheduled/{id}/next | GET /api/v1/scheduled/{id}/history
        POST /api/v1/workers | GET /api/v1/workers | GET /api/v1/workers/{id} | POST /api/v1/workers/{id}/heartbeat
        POST /api/v1/workers/{id}/drain | POST /api/v1/workers/{id}/resume | DELETE /api/v1/workers/{id}
        GET /api/v1/queue | GET /api/v1/tasks/{id}/explain""",
    "worker_manager": """
        POST /api/v1/workers | GET /api/v1/workers | GET /api/v1/workers/{id} | GET /api/v1/workers/{id}/status
        DELETE /api/v1/workers/{id} | POST /api/v1/execute | GET /api/v1/executions | GET /api/v1/executions/{id}
        GET /api/v1/executions/{id}/logs | POST /api/v1/join-tokens | GET /api/v1/join-tokens
        GET /api/v1/join-tokens/{id} | DELETE /api/v1/join-tokens/{id} | GET /api/v1/enrolments
        POST /api/v1/workers/{id}/revoke | POST /api/v1/credentials | GET /api/v1/credentials
        GET /api/v1/credentials/{id} | DELETE /api/v1/credentials/{id}""",
}
EVERYWHERE = """
    GET /api/v1/dead-letters | GET /api/v1/dead-letters/{id} | POST /api/v1/dead-letters/{id}/resend
    DELETE /api/v1/dead-letters/{id} | GET /api/v1/whoami | GET /api/v1/audit
    GET /health | GET /health/live | GET /metrics | GET /openapi.json | GET /swagger-ui"""
NEED_ACCESS = """
    POST /api/v1/tokens | GET /api/v1/tokens/{id} | DELETE /api/v1/tokens/{id}
    POST /api/v1/session | POST /api/v1/session/bearer | DELETE /api/v1/session"""
"""With access off there are no tokens and no sessions; test_access.py calls these."""
EATERS = {
    "orchestrator": "orchestrator-runs",
    "scheduler": "scheduler-placement",
    "worker_manager": "worker-manager-executions",
}
"""A consumer of each service."""


def _routes(text: str) -> set[tuple[str, str]]:
    lines = text.replace("|", "\n").splitlines()
    return {(method, path) for method, path in (line.split() for line in lines if line.strip())}


@pytest.mark.parametrize("service", SERVICES)
async def test_the_document_is_valid_and_has_every_promised_route(platform: Platform, service: str) -> None:
    check = platform.checks[service]

    validate(check.document)

    assert check.document["openapi"].startswith("3.0.")
    assert check.operations() == _routes(PROMISED[service]) | _routes(EVERYWHERE)


async def test_every_promised_route_answers_well_and_as_documented(platform: Platform, config: E2EConfig) -> None:
    checks = {service: OpenApiCheck(platform.checks[service].document) for service in SERVICES}

    async with (
        checked_client(platform.urls, checks, timeout=config.timeout) as client,
        aiohttp.ClientSession() as session,
    ):
        raw = {service: RawHttp(platform.urls[service], checks[service], session) for service in SERVICES}
        await _visit_orchestrator(client)
        await _visit_access(raw["orchestrator"])
        await _visit_scheduler(client, raw["scheduler"])
        await _visit_worker_manager(client, raw["worker_manager"])
        for service in SERVICES:
            for method, path in _routes(EVERYWHERE):
                if "dead-letters" not in path:
                    await raw[service](method, path)
            await _visit_dead_letters(client, platform, service)

    for service in SERVICES:
        promised = _routes(PROMISED[service]) | _routes(EVERYWHERE)
        assert checks[service].answered == promised - _routes(NEED_ACCESS)


async def _visit_orchestrator(client: Client) -> None:
    made = await client.create_pipeline(pipeline(step("one")))
    assert [one.name for one in (await client.validate_pipeline("name: x\nsteps: {a: {command: 'true'}}")).steps] == [
        "a"
    ]
    assert [one.name for one in (await client.plan_pipeline(pipeline(step("one")))).tasks] == ["one"]
    assert (await client.pipeline_schema())["title"] == "Hodei pipeline"
    assert made.id in [each.id async for each in client.pipelines(name=made.name)]
    await client.update_pipeline(made.id, pipeline(step("one"), step("two")))
    assert (await client.pipeline(made.id)).version == 2
    assert [each.version async for each in client.pipeline_versions(made.id)] == [2, 1]
    assert [one.name for one in (await client.pipeline_version(made.id, 1)).steps] == ["one"]
    asks = {"name": "asks", "steps": [{"name": one, "type": "approval"} for one in ("a", "b")]}
    asking = await client.submit({"pipeline": asks})
    waiting = [one.id async for one in client.approvals() if one.job_id == asking.id]
    assert set(waiting) == {task.id for task in asking.tasks}
    assert (await client.approve(waiting[0], by="ana")).decision.by == "ana"
    assert (await client.reject(waiting[1], comment="no")).status is TaskStatus.FAILED
    job = await client.submit(JobCreate(pipeline_id=made.id))
    await client.wait(job.id, timeout=30)
    await client.job(job.id)
    assert [event.type async for event in client.follow_events(job.id)] == [e.type for e in await client.events(job.id)]
    told = client.feed(types=["jobs.*"], job_id=job.id, since=job.created_at - timedelta(minutes=1), follow=False)
    assert [event.kind async for event in told][-1] == "jobs.succeeded"
    assert [line async for line in client.follow_logs(job.id)] == (await client.logs(job.id)).logs == []
    again = await client.rerun(job.id)
    assert again.id in [each.id async for each in client.jobs(rerun_of=job.id)]
    await client.wait(again.id, timeout=30)
    await client.delete_job(again.id)
    [waiting] = await client.submit_many([command_job("true", run_at=datetime.now(UTC) + timedelta(hours=1))])
    assert (await client.set_priority(waiting.id, "high")).priority == "high"
    await client.cancel(waiting.id)
    [limited] = await client.submit_many([command_job("sleep 10", concurrency_key=made.id)])
    assert [one.holding async for one in client.concurrency_keys(key=made.id)] == [1]
    await client.cancel(limited.id)
    [later] = await client.submit_many([command_job("true", run_at=datetime.now(UTC) + timedelta(hours=1))])
    assert (await client.cancel_jobs([later.id])).done == 1
    await client.wait(later.id, timeout=30)
    rerun = await client.rerun_jobs([later.id])
    assert (rerun.done, len(rerun.ids)) == (1, 1)
    assert (await client.delete_selected_jobs([later.id])).done == 1
    assert (await client.job_counts()).total > 0
    assert sum(bucket.created for bucket in (await client.throughput()).buckets) > 0
    assert (await client.pipeline_statistics(made.id)).runs
    await client.archive_pipeline(made.id)
    assert [(one.name, one.version) for one in (await client.platform()).services] == [
        (service, platform_version()) for service in SERVICES
    ]
    assert await client.delete_jobs(before=datetime(1980, 1, 1, tzinfo=UTC)) == 0


async def _visit_access(raw: RawHttp) -> None:
    """With access off, nothing is made there."""
    made = await raw("POST", "/api/v1/tokens", json={"name": "ci", "role": "viewer"})
    await raw("GET", "/api/v1/tokens")
    for method in ("GET", "DELETE"):
        await raw(method, f"/api/v1/tokens/{uuid.uuid4()}")
    opened = await raw("POST", "/api/v1/session")
    exchanged = await raw("POST", "/api/v1/session/bearer")
    ended = await raw("DELETE", "/api/v1/session")
    assert [answer.status for answer in (made, opened, exchanged, ended)] == [409] * 4


async def _visit_dead_letters(client: Client, platform: Platform, service: str) -> None:
    assert platform.nats_url is not None
    told = WorkerOffline(worker_id=str(uuid.uuid4()), detail="made up")
    [event] = json.loads(encode_batch([wrap(told, id="1", source="/hodei/test", time=datetime.now(UTC))]))
    subject = f"{platform.namespace}.workers.offline"
    letter = DeadLetter(consumer=EATERS[service], subject=subject, stream_seq=1, deliveries=1, error="no", event=event)
    connection = await nats.connect(platform.nats_url, **platform.meddling)
    dead = f"{platform.namespace}.dead.{EATERS[service]}"
    for _ in range(2):
        await connection.jetstream().publish(dead, letter.model_dump_json().encode())
    await connection.close()
    first, second = [one.id async for one in client.dead_letters(service, entity_id=told.worker_id)]
    await client.dead_letter(service, first)
    await client.resend_dead_letter(service, first)
    await client.delete_dead_letter(service, second)


async def _visit_scheduler(client: Client, raw: RawHttp) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    schedule = await client.schedule(ScheduleCreate(command="true", run_at=later))
    assert schedule.id in [each.id async for each in client.schedules()]
    assert await client.scheduled(schedule.id) == schedule
    at = f"/api/v1/scheduled/{schedule.id}"
    await raw("PATCH", at, json={"cron": "@daily"})
    for verb in ("pause", "resume", "trigger"):
        await raw("POST", f"{at}/{verb}")
    for listed in ("next", "history"):
        await raw("GET", f"{at}/{listed}")
    await client.delete_schedule(schedule.id)
    worker = await client.register_worker(WorkerRegister(type=unique("type")))
    assert [each.id async for each in client.registered_workers(type=worker.type)] == [worker.id]
    await raw("POST", f"/api/v1/workers/{worker.id}/heartbeat", json={})
    await client.drain_worker(worker.id)
    await client.registered_worker(worker.id)
    await client.resume_worker(worker.id)
    await raw("DELETE", f"/api/v1/workers/{worker.id}")
    job = await client.submit(command_job("true", requires={"zone": unique("nowhere")}))
    await client.explain(job.tasks[0].id)
    [_ async for _ in client.queue()]
    await client.cancel(job.id)


async def _visit_worker_manager(client: Client, raw: RawHttp) -> None:
    worker = await client.start_worker(WorkerStart(type=unique("type")))
    assert worker.id in [each.id async for each in client.workers()]
    await client.worker(worker.id)
    await raw("GET", f"/api/v1/workers/{worker.id}/status")
    await client.stop_worker(worker.id, force=True)
    execution = await client.execute(ExecuteRequest(command="true"))
    assert execution.id in [each.id async for each in client.executions()]
    await client.execution(execution.id)
    await client.execution_logs(execution.id)
    for path in ("/api/v1/join-tokens", "/api/v1/credentials"):
        made = await raw("POST", path, json={"name": unique("name")})
        id = made.json()["id"] if made.status == 201 else worker.id
        for method, one in (("GET", path), ("GET", f"{path}/{id}"), ("DELETE", f"{path}/{id}")):
            await raw(method, one)
    assert isinstance([each async for each in client.enrolments()], list)
    await raw("POST", f"/api/v1/workers/{worker.id}/revoke")


@pytest.mark.parametrize("service", SERVICES)
async def test_health_says_what_is_up(http: Callable[[str], RawHttp], service: str) -> None:
    health = (await http(service)("GET", "/health")).json()

    assert isinstance(health, dict)
    assert health["status"] == "healthy"
    assert health["service"] == service
    assert health["checks"] == {"database": "up", "nats": "up"}
    assert (await http(service)("GET", "/health/live")).status == 200


@pytest.mark.parametrize("service", SERVICES)
async def test_metrics_are_prometheus_text(http: Callable[[str], RawHttp], service: str) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    answer = await http(service)("GET", "/metrics")

    names = {family.name for family in text_string_to_metric_families(answer.body.decode())}
    assert "hodei_http_requests" in names
    assert any(name.startswith("hodei_bus") or name.startswith("hodei_consumer") for name in names)


@pytest.mark.browser
@pytest.mark.parametrize("service", SERVICES)
async def test_swagger_ui_shows_the_operations_in_a_browser(platform: Platform, service: str) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    dom = await _rendered(chromium, platform.urls[service] + "/swagger-ui")

    shown = re.findall(r'class="opblock-summary-method">(\w+)<.*?data-path="([^"]+)"', dom, re.DOTALL)
    assert sorted(shown) == sorted(_routes(PROMISED[service]) | _routes(EVERYWHERE))
    assert "Failed to load API definition" not in dom


async def _rendered(chromium: str, url: str) -> str:
    import asyncio
    import os

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = [
            "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}",
            "--virtual-time-budget=15000", "--dump-dom",
        ]  # fmt: skip
        if os.geteuid() == 0:
            flags.append("--no-sandbox")
        process = await asyncio.create_subprocess_exec(
            chromium, *flags, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(60):
                out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return out.decode()
