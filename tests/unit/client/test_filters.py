"""Filters of the client's lists: all those of the routes, sent as the services read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hodei.client import Client, filters
from schemas.rest.dead_letters import DeadLetterQuery
from schemas.rest.executions import ExecutionQuery
from schemas.rest.jobs import JobQuery
from schemas.rest.lists import PageQuery
from schemas.rest.pipelines import PipelineQuery
from schemas.rest.schedules import QueueQuery, ScheduleQuery
from schemas.rest.workers import ManagedWorkerQuery, RegisteredWorkerQuery
from schemas.states import ExecutionStatus


@pytest.mark.parametrize(
    ("of_the_client", "of_the_route"),
    [
        (filters.PageFilters, PageQuery),
        (filters.JobFilters, JobQuery),
        (filters.PipelineFilters, PipelineQuery),
        (filters.ScheduleFilters, ScheduleQuery),
        (filters.QueueFilters, QueueQuery),
        (filters.RegisteredWorkerFilters, RegisteredWorkerQuery),
        (filters.ManagedWorkerFilters, ManagedWorkerQuery),
        (filters.ExecutionFilters, ExecutionQuery),
        (filters.DeadLetterFilters, DeadLetterQuery),
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
        await client.queue(requires=["gpu=yes", "zone=north"], attempt=2, limit=5)
    assert sent == [
        [("drained", "true"), ("has_agent", "false")],
        [("status", "lost"), ("exit_code", "0"), ("created_after", "2026-11-01T12:00:00+02:00")],
        [("requires", "gpu=yes"), ("requires", "zone=north"), ("attempt", "2"), ("limit", "5")],
    ]


async def test_a_filter_of_another_type_is_refused_by_its_name() -> None:
    async with Client(*["http://127.0.0.1:9"] * 3) as client:
        with pytest.raises(TypeError, match=r"created_after: datetime.date\(2026, 1, 1\) is not a filter"):
            [_ async for _ in client.jobs(created_after=datetime(2026, 1, 1, tzinfo=UTC).date())]  # type: ignore[arg-type]  # refusing it is the test
