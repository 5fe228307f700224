"""Sessions of the console: signing in, what a session that ended does, and where the bearer is not."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from playwright.async_api import Page, expect

from tests.e2e.framework.platform import Platform
from tests.e2e.framework.waiting import eventually
from tests.fixtures.pages import axe

SESSION = "**/api/v1/session"
FILTERED = "/console/settings?tab=audit&outcome=changed"


async def sign_in(page: Page, token: str | None) -> None:
    await page.get_by_label("Token").fill(str(token))
    await page.get_by_role("button", name="Sign in").click()


async def test_signing_in_leads_back_to_where_one_was(stranger: Page, guarded_platform: Platform) -> None:
    await stranger.goto(FILTERED)
    await expect(stranger.get_by_role("heading", name="Sign in")).to_be_visible()
    assert await axe(stranger) == []

    await sign_in(stranger, "hodei_mistyped")
    await expect(stranger.get_by_text("This token is not valid")).to_be_visible()

    await sign_in(stranger, guarded_platform.token)
    await expect(stranger).to_have_url(re.compile(re.escape(FILTERED)))
    await expect(stranger.get_by_role("heading", name="Settings")).to_be_visible()
    await expect(stranger.get_by_text("Access is off")).to_have_count(0)
    await expect(stranger.locator(".who")).to_have_text("admin admin")

    await stranger.route(SESSION, lambda route: route.abort())
    await stranger.get_by_role("button", name="Sign out").click()
    await expect(stranger.get_by_role("region", name="Messages")).to_contain_text("You are still signed in")
    await expect(stranger.locator(".who")).to_be_visible()
    await stranger.unroute(SESSION)

    await stranger.get_by_role("button", name="Sign out").click()
    await expect(stranger.get_by_role("heading", name="Sign in")).to_be_visible()
    await stranger.goto("/console/workers")
    await expect(stranger.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_a_session_that_ends_asks_to_sign_in_again(guarded_console: Page, guarded_platform: Platform) -> None:
    await guarded_console.goto("/console/workers?status=online")
    await expect(guarded_console.get_by_role("table")).to_be_visible()

    ended = await guarded_console.context.request.delete("/api/v1/session")
    assert ended.status == 204

    await expect(guarded_console.get_by_role("heading", name="Sign in")).to_be_visible()
    await sign_in(guarded_console, guarded_platform.token)
    await expect(guarded_console).to_have_url(re.compile(re.escape("/console/workers?status=online")))
    await expect(guarded_console.get_by_role("table")).to_be_visible()


async def test_a_viewer_is_not_offered_what_needs_another_role_and_is_told_when_its_token_is_revoked(
    stranger: Page, guarded_platform: Platform
) -> None:
    admin = {"Authorization": f"Bearer {guarded_platform.token}"}
    requests = stranger.context.request
    made = await requests.post("/api/v1/tokens", data={"name": "reader", "role": "viewer"}, headers=admin)
    token = await made.json()

    await stranger.goto("/console/settings")
    await sign_in(stranger, token["token"])
    create = stranger.get_by_role("button", name="Create a token")
    await expect(create).to_be_disabled()
    await expect(create).to_have_attribute("title", re.compile("the role admin; yours has the role viewer"))
    await stranger.goto("/console/jobs")
    await expect(stranger.locator(".who")).to_have_text("reader viewer")
    await expect(stranger.locator("main").get_by_role("link", name="Run", exact=True)).to_have_count(0)

    await stranger.goto("/console/run")
    await expect(
        stranger.get_by_text("This needs a token with the role submitter; yours has the role viewer.")
    ).to_be_visible()

    for page, offered in (("schedules", "New schedule"), ("workers", "Start a worker")):
        await stranger.goto(f"/console/{page}")
        await expect(stranger.get_by_role("button", name=offered)).to_be_disabled()

    await requests.delete(f"/api/v1/tokens/{token['id']}", headers=admin)
    await expect(stranger.get_by_text("You were signed out")).to_be_visible()


async def test_a_token_that_has_expired_is_said_to_have_expired(stranger: Page, guarded_platform: Platform) -> None:
    admin = {"Authorization": f"Bearer {guarded_platform.token}"}
    requests = stranger.context.request
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    made = await requests.post(
        "/api/v1/tokens", data={"name": "brief", "role": "viewer", "expires_at": soon}, headers=admin
    )
    token = (await made.json())["token"]

    async def refused() -> bool | None:
        answer = await requests.get("/api/v1/whoami", headers={"Authorization": f"Bearer {token}"})
        return answer.status == 401 or None

    await eventually(refused)

    await stranger.goto("/console/sign-in")
    await sign_in(stranger, token)
    await expect(stranger.locator(".field .error")).to_have_text("This token is not valid: the token has expired.")
    await sign_in(stranger, f"{token[:-1]}{'a' if token[-1] != 'a' else 'b'}")
    await expect(stranger.locator(".field .error")).to_contain_text("mistyped")


async def test_neither_token_nor_bearer_is_where_a_script_could_find_it_later(
    stranger: Page, guarded_platform: Platform
) -> None:
    sent: list[str] = []
    stranger.on("request", lambda request: sent.append(request.headers.get("authorization", "")))
    await stranger.goto("/console/sign-in?to=//evil.example/")
    await sign_in(stranger, guarded_platform.token)
    await expect(stranger).to_have_title("Now · Hodei")
    await expect(stranger.locator(".parts [data-status=healthy]")).to_have_count(3)
    bearers = {text.removeprefix("Bearer ") for text in sent if text}

    kept = await stranger.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href, history.state])"
    )
    assert len(bearers) == 2  # the token, once, and the bearer of its session
    assert not any(bearer in kept for bearer in bearers)
    assert "localhost" in kept or "127.0.0.1" in kept
