"""`hodei audit` and the client's call: the logs of the three services as one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from typer.testing import CliRunner

from hodei.cli import app
from hodei.client import Client
from schemas.rest.audit import AuditQuery

SERVICES = ("orchestrator", "scheduler", "worker_manager")
ASKED = web.AppKey("asked", list[dict[str, str]])


def entry(number: int, service: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"019afc7e-0000-7000-8000-{number:012}",
        "service": service,
        "created_at": f"2026-11-29T08:00:{number:02}.000000Z",
        "outcome": "changed",
        "by": {"id": "019afc70-0000-7000-8000-000000000001", "name": "ci"},
        "address": "10.1.2.3",
        "method": "POST",
        "route": "/api/v1/jobs",
        "entity_ids": [f"job-{number}"],
        "request_id": "q",
        "count": 1,
    } | changes


LOGS = {
    "orchestrator": [entry(9, "orchestrator"), entry(4, "orchestrator"), entry(1, "orchestrator")],
    "scheduler": [
        entry(8, "scheduler", outcome="unauthorized", by=None, count=7, entity_ids=[]),
        entry(5, "scheduler", entity_ids=["a", "b", "c"]),
    ],
    "worker_manager": [],
}


def log_of(entries: list[dict[str, Any]]) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        request.app[ASKED].append(dict(request.query))
        start = int(request.query.get("cursor", 0))
        size = min(2, int(request.query.get("limit", 100)))
        more = len(entries) > start + size
        link = {"Link": f'</api/v1/audit?cursor={start + size}>; rel="next"'} if more else {}
        return web.json_response(entries[start : start + size], headers=link)

    made = web.Application()
    made[ASKED] = []
    made.router.add_get("/api/v1/audit", answer)
    return made


@pytest.fixture
async def servers() -> AsyncIterator[dict[str, TestServer]]:
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(TestServer(log_of(LOGS[name]))) for name in SERVICES}


@pytest.fixture
async def client(servers: dict[str, TestServer]) -> AsyncIterator[Client]:
    async with Client(*(str(servers[name].make_url("/")) for name in SERVICES)) as client:
        yield client


def numbers(entries: list[Any]) -> list[int]:
    return [int(one.id[-12:]) for one in entries]


async def test_the_logs_of_all_services_are_one_newest_first(client: Client) -> None:
    assert numbers([one async for one in client.audit()]) == [9, 8, 5, 4, 1]
    assert numbers([one async for one in client.audit(limit=3)]) == [9, 8, 5]
    assert numbers([one async for one in client.audit("scheduler")]) == [8, 5]
    with pytest.raises(ValueError, match="there is no service 'x'"):
        [one async for one in client.audit("x")]


async def test_filters_go_to_each_service(client: Client, servers: dict[str, TestServer]) -> None:
    [one async for one in client.audit(by="ci", outcome="forbidden")]
    for server in servers.values():
        assert server.app[ASKED][0] == {"by": "ci", "outcome": "forbidden"}


def test_a_method_may_be_in_small_letters() -> None:
    assert AuditQuery(method="delete").method == "DELETE"


async def hodei(servers: dict[str, TestServer], *arguments: str) -> str:
    urls = {f"HODEI_{name.upper()}_URL": str(server.make_url("/")) for name, server in servers.items()}
    done = await asyncio.to_thread(CliRunner().invoke, app, ["audit", *arguments], env=urls)
    assert done.exit_code == 0, done.output
    return done.stdout


async def test_the_command_shows_a_line_for_each_entry(servers: dict[str, TestServer]) -> None:
    head, *lines = (await hodei(servers, "--limit", "3")).splitlines()
    assert head.split() == ["WHEN", "BY", "FROM", "OUTCOME", "SERVICE", "CALL", "ENTITY"]
    assert len(lines) == 3
    for word in ("ci", "10.1.2.3", "changed", "orchestrator", "POST /api/v1/jobs", "job-9"):
        assert word in lines[0]
    assert "unauthorized × 7" in lines[1]
    assert "a and 2 more" in lines[2]


async def test_as_json_a_line_has_an_entry(servers: dict[str, TestServer]) -> None:
    lines = (await hodei(servers, "--json", "--by", "ci")).splitlines()
    assert json.loads(lines[0]) == LOGS["orchestrator"][0]
    assert [json.loads(line)["service"] for line in lines] == [
        "orchestrator", "scheduler", "scheduler", "orchestrator", "orchestrator",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["--address", "localhost"], "--address"), (["--outcome", "x"], "--outcome"), (["--method", "delet"], "--method")],
)
def test_a_filter_that_a_service_would_refuse_is_named(arguments: list[str], named: str) -> None:
    done = CliRunner().invoke(app, ["audit", *arguments])
    assert done.exit_code == 2
    assert named in done.output
