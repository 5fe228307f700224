"""What the client sends: filters, all those of the routes, and bodies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from hodei.client import ApiError, Client, filters
from schemas.rest.access import TokenQuery
from schemas.rest.audit import AuditQuery
from schemas.rest.concurrency import ConcurrencyQuery
from schemas.rest.dead_letters import DeadLetterQuery
from schemas.rest.enrolment import CredentialsQuery, EnrolmentQuery, JoinTokenQuery
from schemas.rest.executions import ExecutionQuery
from schemas.rest.job_filters import JobQuery
from schemas.rest.jobs import JobCreate
from schemas.rest.lists import PageQuery
from schemas.rest.pipelines import PipelineQuery, PipelineVersionQuery
from schemas.rest.schedules import QueueQuery, ScheduleQuery
from schemas.rest.workers import ManagedWorkerQuery, RegisteredWorkerQuery, WorkerStart
from schemas.states import ExecutionStatus


@pytest.mark.parametrize(
    ("of_the_client", "of_the_route"),
    [
        (filters.PageFilters, PageQuery),
        (filters.JobFilters, JobQuery),
        (filters.ConcurrencyFilters, ConcurrencyQuery),
        (filters.PipelineFilters, PipelineQuery),
        (filters.PipelineVersionFilters, PipelineVersionQuery),
        (filters.ScheduleFilters, ScheduleQuery),
        (filters.QueueFilters, QueueQuery),
        (filters.RegisteredWorkerFilters, RegisteredWorkerQuery),
        (filters.ManagedWorkerFilters, ManagedWorkerQuery),
        (filters.ExecutionFilters, ExecutionQuery),
        (filters.DeadLetterFilters, DeadLetterQuery),
        (filters.TokenFilters, TokenQuery),
        (filters.JoinTokenFilters, JoinTokenQuery),
        (filters.EnrolmentFilters, EnrolmentQuery),
        (filters.CredentialsFilters, CredentialsQuery),
        (filters.AuditFilters, AuditQuery),
    ],
)
def test_the_client_has_every_filter_of_the_route(of_the_client: type, of_the_route: type[PageQuery]) -> None:
    assert set(of_the_client.__annotations__) - {"page_size"} == set(of_the_route.model_fields) - {"cursor"}


async def asked(request: web.Request) -> web.Response:
    request.app[ASKED].append(list(request.query.items()))
    return web.json_response([])


ASKED = web.AppKey("asked", list[list[tuple[str, str]]])


async def test_filters_are_sent_as_the_services_read_them() -> None:
    app = web.Application()
    sent = app[ASKED] = []
    app.router.add_get("/api/v1/{list}", asked)
    noon = datetime(2026, 11, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    async with TestServer(app) as server, Client(*[str(server.make_url("/"))] * 3) as client:
        [_ async for _ in client.registered_workers(drained=True, has_agent=False, name=None)]
        [_ async for _ in client.executions(status=ExecutionStatus.LOST, exit_code=0, created_after=noon)]
        [_ async for _ in client.queue(requires=["gpu=yes", "zone=north"], attempt=2, limit=5)]
    assert sent == [
        [("drained", "true"), ("has_agent", "false")],
        [("status", "lost"), ("exit_code", "0"), ("created_after", "2026-11-01T12:00:00+02:00")],
        [("requires", "gpu=yes"), ("requires", "zone=north"), ("attempt", "2"), ("limit", "5")],
    ]


async def test_a_filter_of_another_type_is_refused_by_its_name() -> None:
    async with Client(*["http://127.0.0.1:9"] * 3) as client:
        with pytest.raises(TypeError, match=r"created_after: datetime.date\(2026, 1, 1\) is not a filter"):
            [_ async for _ in client.jobs(created_after=datetime(2026, 1, 1, tzinfo=UTC).date())]  # type: ignore[arg-type]  # refusing it is the test


async def kept(request: web.Request) -> web.Response:
    request.app[BODIES].append(await request.json())
    return web.json_response({"title": "Conflict", "status": 409, "detail": "enough", "instance": "/"}, status=409)


BODIES = web.AppKey("bodies", list[object])
SENT: list[tuple[str, dict[str, Any]]] = [
    ("submit", {"command": "true", "retry": {"max_attempts": 2}}),
    ("create_pipeline", {"name": "p", "steps": [{"name": "s", "command": "true"}]}),
    ("schedule", {"command": "true"}),
    ("register_worker", {"type": "rust"}),
    ("start_worker", {"type": "rust", "slots": 2}),
    ("execute", {"command": "true"}),
]


@pytest.mark.parametrize(("method", "fields"), SENT)
async def test_a_dict_of_the_fields_is_sent_like_the_model(method: str, fields: dict[str, Any]) -> None:
    app = web.Application()
    bodies = app[BODIES] = []
    app.router.add_post("/{path:.*}", kept)
    async with TestServer(app) as server, Client(*[str(server.make_url("/"))] * 3) as client:
        with pytest.raises(ApiError, match="enough"):
            await getattr(client, method)(fields)
        with pytest.raises(ValidationError, match="comand"):
            await getattr(client, method)(fields | {"comand": "x"})
        with pytest.raises(TypeError, match=r"or a dict of its fields is needed, not str"):
            await getattr(client, method)("true")
    assert bodies == [fields]


async def test_a_batch_may_be_of_dicts_and_models() -> None:
    app = web.Application()
    bodies = app[BODIES] = []
    app.router.add_post("/{path:.*}", kept)
    async with TestServer(app) as server, Client(*[str(server.make_url("/"))] * 3) as client:
        with pytest.raises(ApiError, match="enough"):
            await client.submit_many([{"command": "a"}, JobCreate(command="b")])
        with pytest.raises(TypeError, match="JobCreate or a dict of its fields is needed, not WorkerStart"):
            await client.submit_many([WorkerStart()])  # type: ignore[list-item]  # refusing it is the test
    assert bodies == [[{"command": "a"}, {"command": "b"}]]


async def test_the_queue_is_read_to_its_end() -> None:
    async def queue(request: web.Request) -> web.Response:
        first = int(request.query.get("cursor", "0"))
        fields = {"priority": "low", "attempt": 1, "requires": {}, "resources": None, "run_at": None}
        rows = [
            {"task_id": f"t{n}", "job_id": "j", "name": "s", "position": n, "queued_at": "2026-01-01T00:00:00Z"}
            | fields
            for n in range(first, min(first + 2, 5))
        ]
        link = {"Link": f'<{request.rel_url.update_query(cursor=first + 2)}>; rel="next"'} if first + 2 < 5 else {}
        return web.json_response(rows, headers=link)

    app = web.Application()
    app.router.add_get("/api/v1/queue", queue)
    async with TestServer(app) as server, Client(*[str(server.make_url("/"))] * 3) as client:
        assert [task.position async for task in client.queue()] == [0, 1, 2, 3, 4]
        assert [task.position async for task in client.queue(limit=3)] == [0, 1, 2]
