"""A real Prometheus reads the platform as it does in compose, and every panel and rule is asked of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from docs import generate
from hodei.client import Client
from tests.e2e.framework import assertions as expect
from tests.e2e.framework.data import command_job
from tests.e2e.framework.http import RawHttp
from tests.e2e.framework.platform import SERVICES, Platform, free_ports
from tests.e2e.framework.waiting import eventually
from tests.fixtures import monitoring, promtool
from tests.fixtures.monitoring import Expression


@dataclass(frozen=True)
class Asked:
    """A Prometheus of the test's own, and what it could be given to read."""

    url: str
    session: aiohttp.ClientSession
    jobs: frozenset[str]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query. Raises AssertionError with Prometheus's own word when it cannot."""
        async with self.session.get(f"{self.url}/api/v1/query", params={"query": expression}) as answer:
            told = await answer.json()
        assert told["status"] == "success", f"{expression}: {told.get('error')}"
        result: list[dict[str, Any]] = told["data"]["result"]
        return result

    async def rules(self) -> list[dict[str, Any]]:
        async with self.session.get(f"{self.url}/api/v1/rules") as answer:
            groups = (await answer.json())["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


@contextlib.asynccontextmanager
async def _running(*command: str, log: Path, environment: Mapping[str, str] | None = None) -> AsyncIterator[None]:
    """A process that ends with the block; its output is in `log`."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, env={"PATH": os.defpath, **(environment or {})}, stdout=output, stderr=output
        )
        try:
            yield
            assert process.returncode is None, f"{command[0]} ended: {await asyncio.to_thread(log.read_text)}"
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(20):
                await process.wait()


@pytest.fixture
async def prometheus(own_platform: Platform) -> AsyncIterator[Asked]:
    """Prometheus with compose's own configuration, its targets replaced by the platform of the tests."""
    program = promtool.path("prometheus")
    postgres_exporter = shutil.which("prometheus-postgres-exporter")
    port, nats_port, postgres_port = free_ports(3)
    targets = {service.replace("_", "-"): url.removeprefix("http://") for service, url in own_platform.urls.items()}
    targets |= {"nats": f"127.0.0.1:{nats_port}", "prometheus": f"127.0.0.1:{port}"}
    if postgres_exporter is not None:
        targets["postgres"] = f"127.0.0.1:{postgres_port}"
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        nats = {"HODEI_NATS_MONITORING_URL": own_platform.monitoring_url(), "NATS_EXPORTER_PORT": str(nats_port)}
        await stack.enter_async_context(
            _running(sys.executable, "-m", "nats_exporter", log=folder / "nats.log", environment=nats)
        )
        if postgres_exporter is not None:
            [pid, *_] = own_platform.pids("orchestrator")
            database = psutil.Process(pid).environ()["DATABASE_URL"]
            await stack.enter_async_context(
                _running(
                    postgres_exporter, f"--web.listen-address={targets['postgres']}",
                    log=folder / "postgres.log",
                    environment={"DATA_SOURCE_NAME": database},
                )
            )  # fmt: skip
        (folder / "prometheus.yml").write_text(_configuration(targets))
        await stack.enter_async_context(
            _running(
                program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={targets['prometheus']}",
                log=folder / "prometheus.log",
            )
        )  # fmt: skip
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)))
        asked = Asked(f"http://{targets['prometheus']}", session, frozenset(targets))
        await eventually(lambda: _everything_is_up(asked), within=60)
        yield asked


def _configuration(targets: Mapping[str, str]) -> str:
    """compose/prometheus/prometheus.yml with these targets, read every second."""
    loaded = yaml.safe_load((monitoring.PROMETHEUS / "prometheus.yml").read_text())
    expected = {"nats", "postgres", "prometheus", *targets}
    assert expected == {scrape["job_name"] for scrape in loaded["scrape_configs"]}
    loaded["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    loaded["rule_files"] = [str(monitoring.PROMETHEUS / pattern) for pattern in loaded["rule_files"]]
    loaded["scrape_configs"] = [
        {"job_name": scrape["job_name"], "static_configs": [{"targets": [targets[scrape["job_name"]]]}]}
        for scrape in loaded["scrape_configs"]
        if scrape["job_name"] in targets
    ]
    return yaml.safe_dump(loaded)


async def _everything_is_up(asked: Asked) -> bool | None:
    try:
        up = {one["metric"]["job"]: one["value"][1] for one in await asked.query("up")}
    except (aiohttp.ClientError, OSError):
        return None  # it has just been started
    return True if up == dict.fromkeys(asked.jobs, "1") else None


async def test_every_panel_and_rule_has_something_to_show(client: Client, prometheus: Asked) -> None:
    jobs = await client.submit_many([command_job("true") for _ in range(20)])
    for job in jobs:
        await expect.succeeds(client, job.id)
    about_postgres = "postgres" in prometheus.jobs
    expressions = [
        expression
        for expression in [*monitoring.panel_expressions(), *monitoring.recorded().values()]
        if about_postgres or "pg_" not in expression.text
    ]
    assert len(expressions) > 100
    empty: list[Expression] = []

    async def all_filled() -> bool | None:
        empty[:] = [one for one in expressions if not await prometheus.query(one.text)]
        return True if not empty else None

    try:
        await eventually(all_filled, within=60)
    except TimeoutError:
        pytest.fail("empty: " + "; ".join(f"{one.where}: {one.text}" for one in empty))


async def test_the_rules_are_evaluated_and_no_service_is_reported_ill(prometheus: Asked) -> None:
    async def all_evaluated() -> list[dict[str, Any]] | None:
        rules = await prometheus.rules()
        return rules if all(rule["health"] != "unknown" for rule in rules) else None

    rules = await eventually(all_evaluated, within=60)

    assert {rule["name"] for rule in rules} == {*monitoring.alerts(), *monitoring.recorded()}
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []
    ill = {"ServiceDown", "NatsDown", "DatabaseDown", "NoLeader", "TwoLeaders", "NatsUnhealthy", "ExporterDown"}
    if "postgres" not in prometheus.jobs:
        ill -= {"DatabaseDown"}

    async def nothing_ill() -> bool | None:
        active = {rule["name"] for rule in await prometheus.rules() if rule.get("alerts")}
        return True if not active & ill else None

    # What was not up yet at one evaluation is pending until the next.
    await eventually(nothing_ill, within=30)


@pytest.mark.parametrize("service", SERVICES)
async def test_what_a_service_tells_is_what_the_documentation_says(
    client: Client, http: Callable[[str], RawHttp], service: str
) -> None:
    await expect.succeeds(client, (await client.submit(command_job("true"))).id)
    declared = {one.name: one for one in generate.declared_metrics()[service.replace("_", " ")]}

    text = (await http(service)("GET", "/metrics")).body.decode()

    told: dict[str, tuple[str, set[str]]] = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if name.startswith("hodei_") and not name.endswith("_created"):
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            told[name] = (family.type, labels if family.samples else set(declared[name].labels))
    with_tls = {"hodei_tls_certificate_expiry_time_seconds"}  # the platform of these tests answers plain HTTP
    expected = {name: (one.kind, set(one.labels)) for name, one in declared.items() if name not in with_tls}
    assert told == expected
    await promtool.check_metrics(text)
