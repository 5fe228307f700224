"""The documents: valid OpenAPI, every promised route in them, Swagger UI in a real browser, metrics and health."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable

import pytest
from openapi_spec_validator import validate

from tests.e2e.framework.http import RawHttp
from tests.e2e.framework.platform import SERVICES, Platform

PROMISED = {
    "orchestrator": """
        POST /api/v1/pipelines | GET /api/v1/pipelines | GET /api/v1/pipelines/{id} | PUT /api/v1/pipelines/{id}
        DELETE /api/v1/pipelines/{id} | POST /api/v1/jobs | POST /api/v1/jobs/batch | GET /api/v1/jobs
        GET /api/v1/jobs/{id} | GET /api/v1/jobs/{id}/status | GET /api/v1/jobs/{id}/events
        GET /api/v1/jobs/{id}/logs | POST /api/v1/jobs/{id}/cancel | POST /api/v1/jobs/{id}/rerun
        DELETE /api/v1/jobs/{id}""",
    "scheduler": """
        POST /api/v1/schedule | GET /api/v1/scheduled | GET /api/v1/scheduled/{id} | DELETE /api/v1/scheduled/{id}
        POST /api/v1/workers | GET /api/v1/workers | GET /api/v1/workers/{id} | POST /api/v1/workers/{id}/heartbeat
        POST /api/v1/workers/{id}/drain | DELETE /api/v1/workers/{id} | GET /api/v1/queue
        GET /api/v1/tasks/{id}/explain""",
    "worker_manager": """
        POST /api/v1/workers | GET /api/v1/workers | GET /api/v1/workers/{id} | GET /api/v1/workers/{id}/status
        DELETE /api/v1/workers/{id} | POST /api/v1/execute | GET /api/v1/executions | GET /api/v1/executions/{id}
        GET /api/v1/executions/{id}/logs""",
}
EVERYWHERE = "GET /health | GET /health/live | GET /metrics | GET /openapi.json | GET /swagger-ui"


def _routes(text: str) -> set[tuple[str, str]]:
    lines = text.replace("|", "\n").splitlines()
    return {(method, path) for method, path in (line.split() for line in lines if line.strip())}


@pytest.mark.parametrize("service", SERVICES)
async def test_the_document_is_valid_and_has_every_promised_route(platform: Platform, service: str) -> None:
    check = platform.checks[service]

    validate(check.document)

    assert check.document["openapi"].startswith("3.0.")
    assert check.operations() == _routes(PROMISED[service]) | _routes(EVERYWHERE)


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

    for method, path in sorted(_routes(PROMISED[service]))[:5]:
        assert path.replace("/", "/<wbr>") in dom or path in dom.replace("<wbr>", ""), f"{method} {path}"
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
