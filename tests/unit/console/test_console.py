"""How the console is served: the page under any path, its policy, and its files."""

import base64
import gzip
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from orchestrator.console import console, first_modules, pages_of, read_files
from schemas.rest.platform import Platform
from shared.access.known import KnownTokens
from shared.telemetry import Metrics
from shared.web import create_web_app
from tests.unit.web.conftest import Settings

_IMPORT = re.compile(r"""(?:^|;)\s*(?:import\s*|(?:import|export)\b[^;"']*?\bfrom\s*)["']([^"']+)["']""", re.M)
"""A static import of a module, and the module's name."""
FIRST_LOAD = 60_000
"""Bytes, compressed, of what the browser loads before it shows the first page."""


async def describe(request: web.Request) -> Platform:
    """The scheduler has an address below a path, the worker manager did not answer yet."""
    urls = {"orchestrator": None, "scheduler": f"https://{request.host}/scheduler", "worker_manager": None}
    services = [{"name": name, "url": url, "version": None, "port": None} for name, url in urls.items()]
    return Platform.model_validate(
        {
            "namespace": "n",
            "access": "on",
            "version": "1",
            "lease_seconds": 30,
            "services": services,
            "retention": {},
            "features": {},
        }
    )


@pytest.fixture
async def client() -> AsyncIterator[TestClient[Any, Any]]:
    app = create_web_app(
        title="t", version="1", service="orchestrator", settings=Settings(), apis=[], checks={}, metrics=Metrics(),
        tokens=KnownTokens(), pages=console(describe).routes,
    )  # fmt: skip
    async with TestClient(TestServer(app)) as client:
        yield client


async def _page(client: TestClient[Any, Any], path: str) -> str:
    answer = await client.get(path)
    assert answer.status == 200
    return await answer.text()


async def test_a_browser_lands_in_the_console_and_a_client_gets_an_index(client: TestClient[Any, Any]) -> None:
    landed = await client.get("/", headers={"Accept": "text/html,*/*"}, allow_redirects=False)
    index = await (await client.get("/")).json()

    assert landed.status == 302
    assert landed.headers["Location"] == "console/"  # relative: the path that a proxy put before it stays
    assert index["console"] == "/console/"


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("/console", "./"),
        ("/console/", "../"),
        ("/console/jobs", "../"),
        ("/console/jobs/0192f0c1?x=/a/b", "../../"),
        ("/console/a%2Fb", "../"),
        ("/console/%22%3E%3Cscript%3E", "../"),
    ],
)
async def test_each_page_has_this_service_as_its_base(client: TestClient[Any, Any], path: str, base: str) -> None:
    page = await _page(client, path)

    assert f'<base href="{base}">' in page
    assert '<meta name="hodei-lease" content="30">' in page
    assert re.findall(r"\{\w+\}", page) == []  # each placeholder is filled
    assert re.findall(r"""(?:src|href)="(?:/|\w+:)""", page) == []  # every address is relative to the base


def _import_map(page: str) -> str:
    return page.partition('<script type="importmap">')[2].partition("</script>")[0]


async def test_the_policy_allows_the_import_map_and_the_services_and_nothing_inline(
    client: TestClient[Any, Any],
) -> None:
    answer = await client.get("/console/jobs", headers={"Host": "localhost:9000"})
    page, policy = await answer.text(), answer.headers["Content-Security-Policy"]

    digest = base64.b64encode(hashlib.sha256(_import_map(page).encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    assert "connect-src 'self' https://localhost:9000;" in policy
    assert '<meta name="hodei-services" content="{&quot;scheduler&quot;: ' in page
    assert '<meta name="hodei-access" content="on">' in page
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["Cache-Control"] == "no-store"


async def test_files_are_for_ever_and_those_of_another_version_are_not_there(client: TestClient[Any, Any]) -> None:
    [main] = re.findall(r'src="(console/static/[^"]+/app/main.js)"', await _page(client, "/console/"))
    version = main.split("/")[2]

    answer = await client.get(f"/{main}")
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Vary"] == "Accept-Encoding, Origin"  # a cache in front keeps both forms apart
    assert (await answer.text()).startswith("//")
    assert (await client.get(f"/{main.replace(version, '0' * 12)}")).status == 404
    for missing in ("app/", "app/no.js", "__init__.py", "index.html", "vendor/README.md", "..%2Fsettings.py"):
        assert (await client.get(f"/console/static/{version}/{missing}")).status == 404


def test_the_first_page_is_small() -> None:
    files = read_files()
    first = ["style.css", "theme.js", "icon.svg", *first_modules(files), *first_modules(files, "pages/now.js")]
    sizes = {path: len(files[path].packed) for path in first}

    assert sum(sizes.values()) < FIRST_LOAD, sizes


async def test_the_page_names_what_it_needs_at_first_and_nothing_that_comes_later(
    client: TestClient[Any, Any],
) -> None:
    async def named(path: str) -> set[str]:
        found = re.findall(r'<link rel="modulepreload" href="console/static/\w+/([^"]+)">', await _page(client, path))
        assert len(found) == len(set(found))
        assert {one for one in found if "dagre" in one or "ansi" in one} == set()
        return set(found)

    def pages(found: set[str]) -> set[str]:
        return {path for path in found if re.fullmatch(r"pages/[\w-]+\.js", path)}

    now, jobs = await named("/console/"), await named("/console/jobs?status=failed")

    assert {"app/main.js", "app/session.js", "parts/dialog.js", "vendor/preact.js", "vendor/htm.js"} <= now & jobs
    assert (pages(now), pages(jobs)) == ({"pages/now.js"}, {"pages/jobs.js"})
    assert {"pages/jobs/filters.js", "parts/table.js"} <= jobs
    assert pages(await named("/console/jobs/0192f0c1")) == {"pages/job.js"}
    assert pages(await named("/console/a/b/c")) == set()


def test_every_page_of_the_router_is_known() -> None:
    files = read_files()
    listed = files["app/routes.js"].content.decode().count('import("../pages/')

    assert len(pages_of(files)) + 1 == listed  # and the page of unknown paths
    assert set(pages_of(files).values()) <= set(files)


def test_files_are_packed_as_they_are() -> None:
    file = read_files()["style.css"]

    assert gzip.decompress(file.packed) == file.content


def test_no_file_asks_for_what_the_policy_refuses() -> None:
    ours = {path: file.content.decode() for path, file in read_files().items() if not path.startswith("vendor/")}
    refused = re.compile(r"""\sstyle=|innerHTML|outerHTML|insertAdjacentHTML|\beval\(|new Function|document\.write""")

    assert {path: found for path, text in ours.items() if (found := refused.findall(text))} == {}
