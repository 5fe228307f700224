"""What a whole run leaves in its logs: the documented events and fields, and none of the secrets it was given."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import asyncpg
import nats
import orjson
import pytest

from docs import log_events
from hodei.client import Client
from hodei.embedded.nats import program
from hodei.embedded.postgres import EmbeddedPostgres
from schemas.rest.jobs import JobCreate
from schemas.rest.workers import WorkerStart
from tests.e2e.framework import assertions as expect
from tests.e2e.framework.config import E2EConfig
from tests.e2e.framework.data import command_job, pipeline, step, unique
from tests.e2e.framework.otlp import Collector, collector
from tests.e2e.framework.platform import SERVICES, free_ports, ready, start_up
from tests.e2e.framework.waiting import healthy
from tests.fixtures.servers import EMBEDDED, Backend

EVENTS = log_events.found()
EVERY_LINE = {"event", "level", "timestamp", "service"}
ANY_LINE = {"request_id", "trace_id", "worker_id"}
LIBRARY = {"logger", "message", "exception"}


def secret(place: str) -> str:
    """A value that stands nowhere else; the place tells where it leaked from."""
    return f"s3cret-{place}-{unique('x').rpartition('-')[2]}"


class House:
    """A platform on servers that want passwords, started with secrets wherever it takes any."""

    def __init__(self, folder: Path, spans: Collector) -> None:
        self.folder = folder
        self.spans = spans
        self.secrets = {
            place: secret(place)
            for place in (
                "bus", "collector", "service", "env", "pipeline", "step", "param", "authorization", "key",
                "query", "invalid", "malformed", "event", "order", "row",
            )
        }  # fmt: skip
        self.said = ""
        self.answers: list[str] = []
        self.urls: dict[str, str] = {}
        self.nats_url = ""
        self.database_url = ""
        self.process: asyncio.subprocess.Process | None = None

    def logs(self) -> list[Path]:
        return [*self.folder.glob("data/logs/*.log"), *self.folder.glob("data/workers/*/agent.log")]

    def lines(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for log in self.logs() for line in log.read_bytes().splitlines()]

    async def ask(self, session: aiohttp.ClientSession, method: str, url: str, **how: Any) -> int:
        """A request whose answer is kept, if it is one that should repeat nothing."""
        async with session.request(method, url, **how) as answer:
            if answer.status >= 400 or url.endswith("/metrics"):
                self.answers.append(f"{method} {answer.url.path} {answer.status} {await answer.text()}")
            return answer.status


@asynccontextmanager
async def _bus(folder: Path, port: int, password: str) -> AsyncIterator[None]:
    conf = folder / "nats.conf"
    conf.write_text(
        f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: {json.dumps(str(folder / "store"))}, max_file: 64GB }}\n'
        f'authorization {{ user: "hodei", password: "{password}" }}\n'
    )
    with (folder / "nats.log").open("ab") as log:
        server = await asyncio.create_subprocess_exec(program(), "-c", str(conf), stdout=log, stderr=log)
    try:
        yield
    finally:
        server.terminate()
        await server.wait()


@asynccontextmanager
async def _house(folder: Path, config: E2EConfig) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        house = House(folder, stack.enter_context(collector()))
        ports = free_ports(5)
        postgres = await stack.enter_async_context(
            EmbeddedPostgres(folder / "postgres", port=ports[4], may_move=True, fsync=False)
        )
        password = postgres.password_file.read_text().strip()
        house.secrets["database"] = password
        house.database_url = postgres.tcp_url.replace("@", f":{quote(password)}@", 1)
        house.nats_url = f"nats://hodei:{house.secrets['bus']}@127.0.0.1:{ports[3]}"
        bus = AsyncExitStack()
        (folder / "nats").mkdir()
        await bus.enter_async_context(_bus(folder / "nats", ports[3], house.secrets["bus"]))
        house.urls = {name: f"http://127.0.0.1:{port}" for name, port in zip(SERVICES, ports, strict=False)}
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HODEI_", "OTEL_"))},
            **{f"{name.upper()}_PORT": str(port) for name, port in zip(SERVICES, ports, strict=False)},
            "NATS_URL": house.nats_url,
            "DATABASE_URL": house.database_url,
            "HODEI_LOG_LEVEL": "debug",
            "HODEI_OTLP_ENDPOINT": house.spans.url,
            "HODEI_TRACE_SAMPLE": "1",
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{house.secrets['collector']}",
            "AWS_SECRET_ACCESS_KEY": house.secrets["service"],
        }
        house.process = await start_up(folder / "data", environment)
        try:
            house.said += await ready(house.process, config.start_timeout)
            yield house
            await bus.aclose()  # the end of the bus, and its return, are told in the logs, too
            await bus.enter_async_context(_bus(folder / "nats", ports[3], house.secrets["bus"]))
            async with Client(*(house.urls[name] for name in SERVICES), timeout=config.timeout) as client:
                await healthy(client)
        finally:
            if house.process.returncode is None:
                house.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(60):
                rest, _ = await house.process.communicate()
            house.said += rest.decode()
            await bus.aclose()


async def _work(house: House, client: Client) -> None:
    """Jobs that go well, fail, are retried and lost, with secrets in their environments."""
    secrets, kind = house.secrets, unique("mortal")
    worker = await client.start_worker(WorkerStart(type=kind, slots=1))
    made = await client.create_pipeline(
        pipeline(
            step("one", 'test -n "$STEP"', env={"STEP": secrets["step"]}),
            step("two", "exit 1", "one"),
            env={"PIPELINE": secrets["pipeline"]},
        )
    )
    well = await client.submit(command_job('test -n "$TOKEN"', env={"TOKEN": secrets["env"]}))
    failing = await client.submit(
        JobCreate(pipeline_id=made.id, params={"who": secrets["param"]}, env={"TOKEN": secrets["env"]})
    )
    retried = await client.submit(
        command_job("exit 1", env={"TOKEN": secrets["env"]}, retry={"max_attempts": 2, "delay": 0})
    )
    lost = await client.submit(
        command_job("echo up; sleep 600", env={"TOKEN": secrets["env"]}, requires={"type": kind}, retry_on_lost=False)
    )
    async for _ in client.follow_logs(lost.id):
        break
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    await expect.succeeds(client, well.id)
    for job in (failing, retried, lost):
        await expect.fails(client, job.id)


async def _trouble(house: House, client: Client) -> None:
    """Requests and messages that are wrong, and a database that cuts its connections."""
    secrets, url = house.secrets, house.urls["orchestrator"]
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {secrets['authorization']}", "Idempotency-Key": secrets["key"]}
        jobs = f"{url}/api/v1/jobs"
        assert await house.ask(session, "POST", jobs, data='{"command": "true"}', headers=headers) == 201
        assert await house.ask(session, "POST", jobs, data='{"command": "false"}', headers=headers) == 422
        assert await house.ask(session, "GET", f"{jobs}?token={secrets['query']}") == 422
        for env in ({"A": [secrets["invalid"]]}, [secrets["invalid"]]):
            body = json.dumps({"command": "true", "env": env})
            assert await house.ask(session, "POST", jobs, data=body, headers=headers) == 422
        malformed = f'{{"command": "true", "env": {{"A": "{secrets["malformed"]}"'
        assert await house.ask(session, "POST", jobs, data=malformed) == 400
        assert await house.ask(session, "POST", f"{jobs}/none/cancel", headers=headers) == 404

    connection = await nats.connect(house.nats_url)
    order = {"specversion": "1.0", "id": "1", "source": "/x", "type": "hodei.tasks.queued.v1", "subject": "1"}
    run = {"command": "true", "type": "shell", "env": {"A": {"nested": secrets["event"]}}}
    await connection.jetstream().publish("hodei.tasks.queued", json.dumps([{**order, "data": {"run": run}}]).encode())
    [worker] = [worker async for worker in client.workers(status="running")]
    await connection.publish(f"hodei.agents.{worker.id}.run", json.dumps({"assignments": secrets["order"]}).encode())
    await connection.flush()
    await connection.close()

    database = await asyncpg.connect(house.database_url)
    try:
        # A row that breaks a rule of the tables is repeated in PostgreSQL's error.
        await database.execute(
            "create function orchestrator.refuse() returns trigger language plpgsql as $$ begin"
            f" raise exception 'refused' using detail = 'Failing row contains ({secrets['row']})'; end $$;"
            "create trigger refuse before insert on orchestrator.pipelines for each row"
            " execute function orchestrator.refuse()"
        )
        async with aiohttp.ClientSession() as session:
            body = json.dumps({"name": "refused", "env": {"A": secrets["pipeline"]}})
            assert await house.ask(session, "POST", f"{url}/api/v1/pipelines", data=body) == 500
        await database.execute("drop trigger refuse on orchestrator.pipelines")
        await database.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'orchestrator%'"
        )
    finally:
        await database.close()
    await healthy(client)


async def test_the_logs_of_a_run_keep_to_the_documents_and_keep_its_secrets(
    config: E2EConfig, backend: Backend, tmp_path: Path
) -> None:
    if backend.name != EMBEDDED:
        pytest.skip("starts embedded servers that want passwords, and stops them under the platform")
    if config.external:
        pytest.skip("needs a platform that the tests started themselves")
    async with _house(tmp_path, config) as house:
        async with Client(*(house.urls[name] for name in SERVICES), timeout=config.timeout) as client:
            await _work(house, client)
            await _trouble(house, client)
        async with aiohttp.ClientSession() as session:
            for url in house.urls.values():
                assert await house.ask(session, "GET", f"{url}/metrics") == 200

    _as_documented(house)
    _without_secrets(house)


def _as_documented(house: House) -> None:
    lines = house.lines()
    events = Counter(line["event"] for line in lines)
    for line in lines:
        assert line.keys() >= EVERY_LINE, line
        event = EVENTS.get(line["event"])
        own = LIBRARY if line["event"] == "library.message" else event.fields if event is not None else None
        assert own is not None, f"an event that is not documented: {line}"
        assert line.keys() <= EVERY_LINE | ANY_LINE | own, f"fields that are not documented: {line}"
        assert line["service"] != "agent" or "worker_id" in line or line["event"].startswith("process."), line
        if line["event"] == "http_request" and "/api/" in line["route"]:
            assert line["request_id"]
            assert line["trace_id"]
    # The run was one to learn from.
    assert {line["service"] for line in lines} == {*SERVICES, "agent"}
    for expected in (
        "http_request", "event_batch", "process.ready", "process.stopped", "worker.ready", "worker.gone",
        "dead_letter.undecodable", "order.unreadable", "request.failed", "bus.disconnected", "bus.reconnected",
    ):  # fmt: skip
        assert events[expected], f"no {expected} in {events}"
    batches = [line for line in lines if line["event"] == "event_batch"]
    assert any("trace_id" in line for line in batches)
    for line in batches:
        assert line["consumer"]
        assert line["outcome"] in ("handled", "failed", "given_back")


def _without_secrets(house: House) -> None:
    texts = {str(log): log.read_text() for log in house.logs()}
    texts["hodei up"] = house.said
    texts["answers"] = "\n".join(house.answers)
    texts["spans"] = "\n".join(map(repr, house.spans.spans))
    assert house.spans.spans
    assert any(" 500 " in answer for answer in house.answers)
    for where, text in texts.items():
        assert text, where
        leaked = [place for place, value in house.secrets.items() if value in text]
        assert not leaked, f"{leaked} in {where}: " + next(
            line for line in text.splitlines() if house.secrets[leaked[0]] in line
        )
