"""Services that a proxy serves below a path: every request goes below it."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hodei.client import BadAddress, Client
from hodei.client.transport import Transport

LINKS = {
    "relative": "?cursor=1&label=a%2Cb",
    "without the path": "/api/v1/jobs?cursor=1&label=a%2Cb",
    "with the path": "/tools/hodei/api/v1/jobs?cursor=1&label=a%2Cb",
    "of another host": "http://elsewhere.example/api/v1/jobs?cursor=1&label=a%2Cb",
}


class Service:
    """Below /tools/hodei: a list of two pages, and a stream."""

    def __init__(self, link: str = "") -> None:
        self.link = link
        self.asked: list[str] = []
        self.app = web.Application()
        self.app.router.add_get("/tools/hodei/{rest:.*}", self.answer)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        if request.headers["Accept"] == "text/event-stream":
            return web.Response(text="id: 1\ndata: a\n\nevent: end\ndata: {}\n\n", content_type="text/event-stream")
        first = "cursor" not in request.query
        return web.json_response([], headers={"Link": f'<{self.link}>; rel="next"'} if first else {})


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
@pytest.mark.parametrize("slash", ["", "/"])
async def test_pages_follow_each_other_below_the_path(link: str, slash: str) -> None:
    service = Service(link)
    async with TestServer(service.app) as server, Client(f"{server.make_url('/tools/hodei')}{slash}") as client:
        assert [job async for job in client.jobs(page_size=10)] == []
    assert service.asked == ["/tools/hodei/api/v1/jobs?limit=10", "/tools/hodei/api/v1/jobs?cursor=1&label=a%2Cb"]


async def test_requests_and_streams_go_below_the_path() -> None:
    service = Service()
    async with TestServer(service.app) as server:
        transport = Transport(server.make_url("/tools/hodei"), timeout=30, attempts=1)
        try:
            await transport.request("GET", "/api/v1/tasks/a%2Fb")
            await transport.answer("/health")
            assert [event.event async for event in transport.stream("/api/v1/feed", query={"a": "1"})][-1] == "end"
        finally:
            await transport.close()
    assert service.asked == [
        "/tools/hodei/api/v1/tasks/a%2Fb",
        "/tools/hodei/health",
        "/tools/hodei/api/v1/feed?a=1",
    ]


async def test_the_environment_may_name_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HODEI_ORCHESTRATOR_URL", "https://hodei.example/tools/hodei")
    async with Client() as client:
        assert str(client.orchestrator.base_url) == "https://hodei.example/tools/hodei"
    monkeypatch.setenv("HODEI_ORCHESTRATOR_URL", "https://hodei.example/tools/hodei?a=b")
    with pytest.raises(BadAddress, match=r"^HODEI_ORCHESTRATOR_URL: .*with no more$"):
        Client()
