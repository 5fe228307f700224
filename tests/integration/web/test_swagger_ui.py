"""Swagger UI while access is on, in a real browser."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from schemas.access import Role, hash_of, token_of
from shared.access import Principal
from shared.access.known import KnownTokens
from shared.telemetry import Metrics
from shared.web import Api, create_web_app, json_response
from tests.fixtures.browser import Page, browser_page
from tests.fixtures.sub_path import proxy
from tests.unit.web.conftest import Settings, Thing

pytestmark = pytest.mark.browser

GOOD, WRONG = (token_of(bytes([n]) * 32) for n in range(2))
UNTIL = """
new Promise(done => {
  const look = () => { const found = (() => FOUND)(); found ? done(found) : requestAnimationFrame(look) }
  look()
})
"""
GIVE = """
(() => {
  document.querySelector('#token').value = TOKEN
  document.querySelector('form').requestSubmit()
})()
"""
CALL = """
(async () => {
  const click = selector => document.querySelector(selector).click()
  click('.opblock-summary-control')
  await UNTIL_TRY
  click('.try-out__btn')
  await UNTIL_EXECUTE
  click('.execute')
  return await UNTIL_ANSWER
})()
"""


def _until(found: str) -> str:
    return UNTIL.replace("FOUND", found)


def _app() -> web.Application:
    api = Api(tag="things")

    @api.get("/api/v1/thing", answers={200: Thing}, summary="The thing")
    async def get_thing(_request: web.Request) -> web.StreamResponse:
        return json_response(Thing(id="7", name="found it"))

    known = KnownTokens()
    known.put(hash_of(GOOD), Principal("id", "me", Role.VIEWER))
    return create_web_app(
        title="Toys", version="1", service="toys", settings=Settings(), apis=[api], checks={}, metrics=Metrics(),
        tokens=known,
    )  # fmt: skip


async def _call(page: Page) -> str:
    """Give the good token and execute the first operation; the answer's body."""
    await page.run(_until("document.querySelector('#token')?.id"))
    await page.run(GIVE.replace("TOKEN", repr(GOOD)))
    assert await page.run(_until("!!document.querySelector('.opblock-summary-control')"))
    call = CALL
    for name, found in (
        ("TRY", "document.querySelector('.try-out__btn')"),
        ("EXECUTE", "document.querySelector('.execute')"),
        ("ANSWER", "document.querySelector('.live-responses-table .response .microlight')?.textContent"),
    ):
        call = call.replace(f"UNTIL_{name}", _until(found))
    return str(await page.run(call))


async def test_it_asks_for_a_token_and_calls_with_it() -> None:
    async with TestServer(_app()) as server, browser_page() as page:
        await page.open(str(server.make_url("/swagger-ui")))
        label = "document.querySelector('label')?.textContent"
        assert "there is no token" in await page.run(_until(label))

        await page.run(GIVE.replace("TOKEN", repr(WRONG)))
        assert await page.run(_until(f"{label}?.includes('does not exist or was revoked')"))

        assert "found it" in await _call(page)
        assert "Toys" in await page.run(_until("document.querySelector('.title')?.textContent"))

        kept = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
        assert GOOD not in await page.run(kept)


async def test_below_a_path_it_calls_the_service_and_sends_the_token_nowhere_else() -> None:
    async with (
        TestServer(_app()) as server,
        proxy("/tools/toys", str(server.make_url("")).rstrip("/")) as outside,
        browser_page() as page,
    ):
        await page.open(f"{outside}/tools/toys/swagger-ui")
        assert "found it" in await _call(page)

        sent = "window.ui.getConfigs().requestInterceptor({url: URL, headers: {}}).headers.Authorization ?? null"
        for url, given in (
            ("api/v1/thing", True),
            ("/tools/toys/api/v1/thing", True),
            ("/api/v1/thing", False),
            ("/tools/toys/../other", False),
            ("/tools/toys2/api/v1/thing", False),
            ("http://elsewhere.example/tools/toys/api/v1/thing", False),
        ):
            assert await page.run(sent.replace("URL", repr(url))) == (f"Bearer {GOOD}" if given else None), url
