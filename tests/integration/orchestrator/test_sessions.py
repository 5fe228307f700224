"""Browser sessions: opened with a token, exchanged for bearers of every service, ended everywhere at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from orchestrator.api.sessions import MOST_SESSIONS
from orchestrator.session_keys import KNOWN_AFTER, SIGNS_FOR, SessionKeys
from orchestrator.store.sessions import SessionStore
from schemas.access import Role, hash_of, token_of
from shared.access import Principal
from shared.access.known import KnownTokens
from shared.access.session_sync import SessionSync, asking
from shared.access.sessions import Sessions
from shared.bus import Bus
from shared.ids import new_id
from shared.outbox import Outbox
from tests.fixtures.browser import browser_page, page_server
from tests.integration.orchestrator.conftest import DEADLINE, House

ADMIN, READER = token_of(b"a" * 32), token_of(b"r" * 32)
ADMIN_ID, READER_ID = new_id(), new_id()
MADE = [
    {"id": ADMIN_ID, "name": "first admin", "role": "admin", "sha256": hash_of(ADMIN).hex()},
    {"id": READER_ID, "name": "reader", "role": "viewer", "sha256": hash_of(READER).hex()},
]
PATH = "/api/v1/session"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def public_url() -> str | None:
    return None


@pytest.fixture
def own_settings(tmp_path: Path, public_url: str | None) -> dict[str, Any]:
    file = tmp_path / "tokens.json"
    file.write_bytes(orjson.dumps(MADE))
    return {"auth": "on", "bootstrap_tokens": file, "public_url": public_url}


async def send(house: House, method: str, path: str, headers: dict[str, str]) -> aiohttp.ClientResponse:
    async with house.http.request(method, house.url + path, headers=headers) as response:
        await response.read()
        return response


def cookie_of(response: aiohttp.ClientResponse) -> Morsel[str]:
    return SimpleCookie(response.headers["Set-Cookie"])["hodei_session"]


async def opened(house: House, token: str = ADMIN) -> dict[str, str]:
    """The header with the cookie of a new session."""
    response = await send(house, "POST", PATH, bearer(token))
    assert response.status == 201
    return {"Cookie": f"hodei_session={cookie_of(response).value}"}


async def exchanged(house: House, cookie: dict[str, str]) -> str:
    answer = await house.post(f"{PATH}/bearer", status=200, headers=cookie)
    return str(answer["token"])


@pytest.mark.parametrize("public_url", ["https://hodei.example/hodei"])
async def test_the_cookie_is_for_the_path_below_which_people_reach_the_service(house: House) -> None:
    response = await send(house, "POST", PATH, bearer(ADMIN) | {"Origin": "https://hodei.example"})
    assert response.status == 201
    assert cookie_of(response)["path"] == f"/hodei{PATH}"


class Other:
    """Another service's process, as far as sessions are concerned."""

    def __init__(self, house: House) -> None:
        self.bus = Bus(house.settings.nats_url, name="scheduler", namespace=house.settings.namespace, start_deadline=10)
        self.tokens = KnownTokens()
        self.tokens.put(hash_of(ADMIN), Principal(ADMIN_ID, "first admin", Role.ADMIN))
        self.sessions = Sessions(self.tokens)
        self.heard = asyncio.Event()
        self.sync = Noting(self.bus, self.sessions, asking(self.bus))
        self.sync.heard = self.heard

    async def until_refused(self, text: str) -> None:
        async with asyncio.timeout(DEADLINE):
            while self.sessions.find(text) is not None:
                await self.heard.wait()
                self.heard.clear()


class Noting(SessionSync):
    """Tells when an event has been heard."""

    heard: asyncio.Event

    async def _hear(self, subject: str, payload: bytes, reply: str) -> None:
        await super()._hear(subject, payload, reply)
        self.heard.set()


@pytest.fixture
async def other(house: House) -> AsyncIterator[Other]:
    one = Other(house)
    await one.bus.start()
    await one.sync.start()
    yield one
    await one.sync.stop()
    await one.bus.stop()


async def test_a_token_opens_a_session_and_its_cookie_gives_bearers(house: House, other: Other) -> None:
    response = await send(house, "POST", PATH, bearer(ADMIN))
    cookie = cookie_of(response)
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", PATH)
    assert cookie["max-age"] == str(12 * 3600)
    assert not cookie["secure"]  # without TLS a browser would not keep it
    assert response.headers["Cache-Control"] == "no-store"

    text = await exchanged(house, {"Cookie": f"hodei_session={cookie.value}"})
    who = await house.get("/api/v1/whoami", headers=bearer(text))
    assert {"id": ADMIN_ID, "name": "first admin", "role": "admin"}.items() <= who.items()
    found = other.sessions.find(text)
    assert found is not None
    assert (found.id, found.role) == (ADMIN_ID, Role.ADMIN)
    stored = await house.database.fetch_one("select s::text as row from sessions s")
    assert stored is not None
    assert cookie.value not in stored["row"]


async def test_a_cookie_opens_its_own_routes_only(house: House) -> None:
    cookie = await opened(house)
    for method, path in (("GET", "/api/v1/jobs"), ("GET", "/api/v1/whoami"), ("POST", PATH), ("POST", "/api/v1/jobs")):
        assert (await send(house, method, path, cookie)).status == 401
    value = cookie["Cookie"].partition("=")[2]
    assert (await send(house, "GET", "/api/v1/jobs", bearer(value))).status == 401
    both = cookie | bearer(ADMIN)
    assert (await send(house, "POST", f"{PATH}/bearer", both)).status == 409


async def test_a_bearer_opens_no_session_and_renews_none(house: House) -> None:
    text = await exchanged(house, await opened(house))
    assert (await send(house, "POST", PATH, bearer(text))).status == 409
    assert (await send(house, "POST", f"{PATH}/bearer", bearer(text))).status == 409
    assert (await send(house, "DELETE", PATH, bearer(ADMIN))).status == 409


@pytest.mark.parametrize("with_cookie", [True, False])
async def test_signing_out_ends_the_cookie_and_its_bearers_everywhere(
    house: House, other: Other, with_cookie: bool
) -> None:
    cookie, elsewhere = await opened(house), await opened(house)
    text, its_own = await exchanged(house, cookie), await exchanged(house, elsewhere)
    assert other.sessions.find(text) is not None

    out = await send(house, "DELETE", PATH, cookie if with_cookie else bearer(text))
    assert (out.status, cookie_of(out)["max-age"]) == (204, "0")
    assert (await send(house, "GET", "/api/v1/jobs", bearer(text))).status == 401
    assert (await send(house, "POST", f"{PATH}/bearer", cookie)).status == 401
    await other.until_refused(text)

    late = Other(house)  # a process that starts now learns of it, too
    await late.bus.start()
    await late.sync.start()
    assert late.sessions.find(text) is None
    assert late.sessions.find(its_own) is not None
    await late.sync.stop()
    await late.bus.stop()


async def test_the_audit_log_has_who_opened_and_who_ended_a_session(house: House) -> None:
    cookie = await opened(house, READER)
    await exchanged(house, cookie)
    await send(house, "DELETE", PATH, cookie)

    entries = await house.get("/api/v1/audit?outcome=changed", headers=bearer(ADMIN))
    assert [(entry["method"], entry["route"], entry["by"]["id"]) for entry in entries] == [
        ("DELETE", PATH, READER_ID),
        ("POST", PATH, READER_ID),
    ]
    assert entries[0]["entity_ids"] == entries[1]["entity_ids"]


async def test_revoking_the_token_ends_its_sessions(house: House) -> None:
    cookie = await opened(house, READER)
    text = await exchanged(house, cookie)
    await house.call("DELETE", f"/api/v1/tokens/{READER_ID}", status=204, headers=bearer(ADMIN))

    assert (await send(house, "GET", "/api/v1/jobs", bearer(text))).status == 401
    assert (await send(house, "POST", f"{PATH}/bearer", cookie)).status == 401


async def test_a_session_that_is_over_is_refused_and_deleted(house: House) -> None:
    cookie = await opened(house)
    await house.database.execute("update sessions set expires_at = now() - interval '2 hours'")

    assert (await send(house, "POST", f"{PATH}/bearer", cookie)).status == 401
    assert (await send(house, "DELETE", PATH, cookie)).status == 401
    assert await SessionStore(house.database).purge(10) == 1


async def test_sessions_are_for_pages_of_the_service_itself(house: House) -> None:
    own = [{"Origin": house.url}, {"Origin": house.url, "Sec-Fetch-Site": "same-origin"}]
    foreign = [
        {"Origin": "http://localhost:3000"},  # a page of this machine, which may call with a token
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
    ]
    for page in (*own, *foreign):
        cookie = await opened(house)
        response = await send(house, "POST", f"{PATH}/bearer", cookie | page)
        assert response.status == (200 if page in own else 403), page
        assert "Access-Control-Allow-Credentials" not in response.headers
        assert (await send(house, "POST", PATH, bearer(ADMIN) | page)).status == (201 if page in own else 403), page
        assert (await send(house, "DELETE", PATH, cookie | page)).status == (204 if page in own else 403), page


OWN_PAGE = """
(async () => {
  const at = '/api/v1/session', own = {method: 'POST', headers: {Authorization: 'Bearer TOKEN'}}
  const opened = (await fetch(at, own)).status
  const bearer = (await (await fetch(at + '/bearer', {method: 'POST'})).json()).token
  const who = await (await fetch('/api/v1/whoami', {headers: {Authorization: 'Bearer ' + bearer}})).json()
  return [opened, who.role, document.cookie]
})()
"""
OTHER_PAGE = """
(async () => {
  const told = []
  for (const [method, path] of [['POST', '/bearer'], ['DELETE', '']]) {
    const answer = fetch('URL/api/v1/session' + path, {method, credentials: 'include'})
    told.push(await answer.then(got => got.status, () => 'refused'))
  }
  await fetch('URL/api/v1/session/bearer', {method: 'POST', credentials: 'include', mode: 'no-cors'})
  return told
})()
"""


@pytest.mark.browser
async def test_in_a_browser_a_session_is_out_of_reach_of_other_pages_of_its_host(house: House) -> None:
    async with page_server() as port, browser_page() as page:
        await page.open(f"{house.url}/swagger-ui")
        assert await page.run(OWN_PAGE.replace("TOKEN", ADMIN)) == [201, "admin", ""]

        await page.open(f"http://127.0.0.1:{port}/")  # the same site, to which the browser does send the cookie
        assert await page.run(OTHER_PAGE.replace("URL", house.url)) == ["refused", "refused"]
        assert await house.database.fetch("select 1 from sessions where ended_at is not null") == []

        await page.open(f"{house.url}/swagger-ui")  # its own page still has it
        assert await page.run("fetch('/api/v1/session', {method: 'DELETE'}).then(got => got.status)") == 204


async def test_sessions_that_ended_a_moment_ago_count(house: House) -> None:
    """Each is remembered until its bearers expire: signing in and out in a loop would push out other sessions."""
    await house.database.execute(
        "insert into sessions (hash, id, token_id, created_at, expires_at, ended_at)"
        " select sha256(n::text::bytea), gen_random_uuid(), $1::uuid, now(), now() + interval '1 hour', now()"
        " from generate_series(1, $2) as n",
        READER_ID,
        MOST_SESSIONS,
    )
    assert (await send(house, "POST", PATH, bearer(READER))).status == 409
    await house.database.execute("update sessions set ended_at = now() - interval '11 minutes'")
    assert (await send(house, "POST", PATH, bearer(READER))).status == 201


async def test_requests_at_the_same_time_do_not_pass_the_bound(house: House) -> None:
    await house.database.execute(
        "insert into sessions (hash, id, token_id, created_at, expires_at)"
        " select sha256(n::text::bytea), gen_random_uuid(), $1::uuid, now(), now() + interval '1 hour'"
        " from generate_series(1, $2) as n",
        READER_ID,
        MOST_SESSIONS - 1,
    )
    answers = await asyncio.gather(*(send(house, "POST", PATH, bearer(READER)) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7


async def test_the_sessions_of_a_token_are_bounded(house: House) -> None:
    await house.database.execute(
        "insert into sessions (hash, id, token_id, created_at, expires_at)"
        " select sha256(n::text::bytea), gen_random_uuid(), $1::uuid, now(), now() + interval '1 hour'"
        " from generate_series(1, $2) as n",
        READER_ID,
        MOST_SESSIONS,
    )
    assert (await send(house, "POST", PATH, bearer(READER))).status == 409
    assert (await send(house, "POST", PATH, bearer(ADMIN))).status == 201


async def test_a_key_is_replaced_each_day_and_used_once_it_is_known(house: House) -> None:
    clock = 0.0
    sessions = Sessions(house.part(SessionKeys)._sessions._tokens)
    store, outbox = SessionStore(house.database), house.part(Outbox)
    keys = SessionKeys(store, sessions, outbox, clock=lambda: clock)
    assert await keys.run_once() == {"made": 1}
    first = keys._keys[-1]
    clock += SIGNS_FOR
    assert await keys.run_once() == {"made": 1}
    assert await keys.run_once() == {}

    cookie = await opened(house)
    found = await store.find(hash_of(cookie["Cookie"].partition("=")[2]))
    assert found is not None
    signed = [keys.sign(session_id=found.id, token_id=found.token_id, expires_at=found.expires_at)]
    clock += KNOWN_AFTER
    signed.append(keys.sign(session_id=found.id, token_id=found.token_id, expires_at=found.expires_at))
    claims = [sessions._verify(text) for text in signed]
    assert [claim.key_id for claim in claims if claim is not None] == [first.id, keys._keys[-1].id]
    known = {key.key_id for key in (await store.current()).keys}
    assert {first.id.hex(), keys._keys[-1].id.hex()} <= known
