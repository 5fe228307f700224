"""Lists of the client: read page by page, and not beyond what was asked for."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hodei.client import Client

ASKED = web.AppKey("asked", list[str | None])
IDS = [f"0192f0c1-2345-7abc-8def-{number:012}" for number in range(25)]


async def pipelines(request: web.Request) -> web.Response:
    """Like the service's list: `limit` is a page's size, 10 unless it is said."""
    request.app[ASKED].append(request.query.get("limit"))
    size, first = int(request.query.get("limit", "10")), int(request.query.get("cursor", "0"))
    rows = [
        {
            "id": id, "name": "p", "description": "", "status": "active", "version": 1, "steps": [], "env": {},
            "timeout": None, "cleanup_timeout": 60, "params": {},
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        }
        for id in IDS[first : first + size]
    ]  # fmt: skip
    more = first + size < len(IDS)
    link = {"Link": f'<{request.rel_url.update_query(cursor=first + size)}>; rel="next"'} if more else {}
    return web.json_response(rows, headers=link)


async def test_a_filter_with_commas_leads_to_the_next_page() -> None:
    seen = []

    async def jobs(request: web.Request) -> web.Response:
        seen.append(request.query.getall("label"))
        following = request.rel_url.update_query(cursor="1")
        link = {"Link": f'</first>; rel="prev", <{following}>; rel="next"'} if len(seen) == 1 else {}
        return web.json_response([], headers=link)

    app = web.Application()
    app.router.add_get("/api/v1/jobs", jobs)
    async with TestServer(app) as server, Client(orchestrator=str(server.make_url("/"))) as client:
        assert [job async for job in client.jobs(label=["k=a,b", "of=<c>, d"])] == []
    assert seen == [["k=a,b", "of=<c>, d"]] * 2


@pytest.mark.parametrize(
    ("options", "count", "asked"),
    [
        ({}, 25, [None] * 3),
        ({"limit": 2}, 2, ["2"]),
        ({"limit": 25}, 25, ["25"]),
        ({"limit": 12, "page_size": 5}, 12, ["5"] * 3),
        ({"limit": 3, "page_size": 5}, 3, ["3"]),
        ({"page_size": 20}, 25, ["20"] * 2),
        ({"limit": 5000}, 25, ["1000"]),
        ({"limit": "2"}, 2, ["2"]),
    ],
)
async def test_a_limit_is_the_most_that_a_list_yields(
    options: dict[str, str | int], count: int, asked: list[str | None]
) -> None:
    app = web.Application()
    asked_for = app[ASKED] = []
    app.router.add_get("/api/v1/pipelines", pipelines)
    async with TestServer(app) as server, Client(orchestrator=str(server.make_url("/"))) as client:
        found = [pipeline.id async for pipeline in client.pipelines(**options)]
    assert found == IDS[:count]
    assert asked_for == asked
