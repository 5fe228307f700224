"""`Location` and `Link` of a service that a proxy serves below a path."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from yarl import URL

from shared.web.references import relative
from tests.fixtures.sub_path import proxy
from tests.unit.web.conftest import Behaviour, Settings

MakeApp = Callable[..., web.Application]
ID = "0192f0c1-2345-7abc-8def-0123456789ab"
BELOW = Settings(public_url="https://hodei.example/tools/hodei")


@pytest.mark.parametrize(
    ("target", "path", "reference"),
    [
        ("/api/v1/jobs/1", "/api/v1/jobs", "jobs/1"),
        ("/api/v1/jobs/2", "/api/v1/jobs/1/rerun", "../2"),
        ("/api/v1/executions/1", "/api/v1/execute", "executions/1"),
        ("/api/v1/workers/1", "/api/v1/workers/1/register", "../1"),
        ("/api/v1/jobs?status=failed&cursor=a", "/api/v1/jobs", "?status=failed&cursor=a"),
        ("/api/v1/jobs?cursor=a", "/api/v1/audit", "jobs?cursor=a"),
    ],
)
def test_a_relative_reference_leads_to_its_target(target: str, path: str, reference: str) -> None:
    assert relative(target, path) == reference
    assert URL(f"http://h{path}").join(URL(reference)) == URL(f"http://h{target}")
    assert URL(f"http://h/a/b{path}").join(URL(reference)) == URL(f"http://h/a/b{target}")


async def test_below_a_path_references_lead_to_the_service_through_the_proxy_and_directly(
    make_app: MakeApp, behaviour: Behaviour
) -> None:
    async def create(_: web.Request) -> web.StreamResponse:
        return web.Response(status=201, headers={"Location": f"/api/v1/things/{ID}"})

    behaviour.on_create = create
    async with (
        TestServer(make_app(settings=BELOW)) as server,
        proxy("/tools/hodei", str(server.make_url("")).rstrip("/")) as outside,
        ClientSession() as client,
    ):
        for base in (URL(f"{outside}/tools/hodei/"), server.make_url("/")):
            made = await client.post(base.join(URL("api/v1/things")), json={"name": "a"})
            assert made.headers["Location"] == f"things/{ID}"
            async with client.get(made.url.join(URL(made.headers["Location"]))) as thing:
                assert (thing.status, (await thing.json())["id"]) == (200, ID)

            first = await client.get(base.join(URL("api/v1/things?limit=2&status=failed")))
            assert first.headers["Link"].startswith("<?limit=2&status=failed&cursor=")
            behaviour.seen.clear()
            async with client.get(first.links["next"]["url"]) as following:
                assert (following.status, await following.json()) == (200, [{}])
            assert len(behaviour.seen) == 2, "the query, and its cursor"


@pytest.mark.parametrize("public_url", [None, "https://hodei.example", "https://hodei.example/"])
async def test_at_the_root_references_are_absolute_paths(make_app: MakeApp, public_url: str | None) -> None:
    app = make_app(settings=Settings(public_url=public_url))
    async with TestServer(app) as server, ClientSession() as client:
        made = await client.post(server.make_url("/api/v1/things"), json={"name": "a"})
        assert made.headers["Location"] == "/api/v1/things/1"
        listed = await client.get(server.make_url("/api/v1/things?limit=2"))
        assert listed.headers["Link"].startswith("</api/v1/things?limit=2&cursor=")


@pytest.mark.parametrize("elsewhere", ["https://other.example/a", "//other.example/a", "console/"])
async def test_other_references_stay_as_they_are(make_app: MakeApp, behaviour: Behaviour, elsewhere: str) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(headers={"Location": elsewhere, "Link": f'<{elsewhere}>; rel="next"'})

    behaviour.on_request = answer
    async with TestServer(make_app(settings=BELOW)) as server, ClientSession() as client:
        found = await client.get(server.make_url(f"/api/v1/things/{ID}"))
        assert found.headers["Location"] == elsewhere
        assert found.headers["Link"] == f'<{elsewhere}>; rel="next"'
