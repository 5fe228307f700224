"""What is around every page: navigation, keys, themes, banners; and the page's security policy."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, expect

from tests.e2e.framework.platform import Platform
from tests.fixtures.pages import axe, open_page

PAGES = {
    "Now": "n", "Jobs": "j", "Pipelines": "p", "Schedules": "s", "Queue": "q", "Workers": "w", "Run": "r",
    "Settings": "t",
}  # fmt: skip


async def test_a_browser_lands_in_the_console_and_reaches_every_page_by_keys(console: Page) -> None:
    await console.goto("/")
    await expect(console).to_have_title("Now · Hodei")
    for title, letter in PAGES.items():
        await console.keyboard.press("Escape")  # out of the field in which Run begins
        await console.keyboard.press("g")
        await console.keyboard.press(letter)
        await expect(console.get_by_role("heading", level=1)).to_have_text(title)
        await expect(console).to_have_title(re.compile(f"^{title}.* · Hodei$"))
        await expect(console.get_by_role("navigation", name="Pages").locator("a[aria-current]")).to_have_text(
            re.compile(title)
        )

    await console.keyboard.press("?")
    await expect(console.get_by_role("dialog", name="Keys")).to_contain_text("Go to Schedules")
    await console.keyboard.press("Escape")
    await expect(console.get_by_role("dialog")).to_have_count(0)

    await console.go_back()
    await expect(console.get_by_role("heading", level=1)).to_have_text("Run")


async def test_a_form_can_be_filled_at_once_after_its_page_was_opened(console: Page) -> None:
    await console.goto("/console/")
    await console.get_by_role("link", name="Run a command").click()
    await expect(console.get_by_label("Command")).to_be_focused()
    await console.keyboard.press("Escape")
    await expect(console.get_by_label("Command")).not_to_be_focused()
    await console.keyboard.press("g")
    await console.keyboard.press("q")
    await expect(console.get_by_role("heading", level=1, name="Queue")).to_be_focused()


async def test_search_and_keys_say_what_enter_and_escape_do(console: Page) -> None:
    await console.goto("/console/schedules")
    await expect(console.get_by_role("searchbox")).to_have_attribute("placeholder", "Search, then Enter")
    await console.get_by_role("button", name="Keys").click()
    keys = console.get_by_role("dialog", name="Keys")
    await expect(keys).to_contain_text("Enter Open the row")
    await expect(keys).to_contain_text("Escape Leave a field, or close a window")


async def test_all_pages_are_in_sight_in_the_navigation_of_a_telephone(narrow_console: Page) -> None:
    await narrow_console.goto("/console/settings")
    links = narrow_console.get_by_role("navigation", name="Pages").get_by_role("link")
    await expect(links).to_have_count(8)
    for link in await links.all():
        await expect(link).to_be_in_viewport(ratio=1)


async def test_an_unknown_page_says_so(console: Page) -> None:
    await console.goto("/console/nowhere")
    await expect(console.get_by_role("heading", level=1)).to_have_text("This page does not exist")

    assert await axe(console) == []


async def test_times_and_theme_are_remembered(console: Page) -> None:
    await console.goto("/console/")
    await console.get_by_role("button", name="Local time").click()
    await console.get_by_role("button", name="System theme").click()
    await console.get_by_role("button", name="Light").click()
    await console.reload()

    await expect(console.get_by_role("button", name="UTC")).to_be_visible()
    await expect(console.locator("html")).to_have_attribute("data-theme", "dark")


async def test_a_service_that_is_away_leaves_the_page_as_it_is(console: Page) -> None:
    await console.goto("/console/workers")
    await expect(console.get_by_role("row")).not_to_have_count(0)
    await console.route("**/api/v1/workers*", lambda route: route.abort())
    banner = console.locator(".banner", has_text="The scheduler does not answer")
    await expect(banner).to_be_visible()
    await expect(console.get_by_role("row")).not_to_have_count(0)
    await expect(console.get_by_role("alert")).to_have_count(0)

    await console.unroute("**/api/v1/workers*")
    await expect(banner).to_have_count(0)


async def test_a_hidden_tab_asks_for_nothing(console: Page) -> None:
    await console.clock.install()
    await console.goto("/console/workers")
    await expect(console.get_by_role("row")).not_to_have_count(0)
    await _show(console, "hidden")
    await console.wait_for_load_state("networkidle")
    asked: list[str] = []
    console.on("request", lambda request: asked.append(request.url))
    await console.clock.run_for(120_000)
    assert asked == []

    async with console.expect_request("**/api/v1/workers*"):
        await _show(console, "visible")


async def _show(console: Page, state: str) -> None:
    await console.evaluate(
        """state => {
          Object.defineProperty(document, 'visibilityState', {value: state, configurable: true})
          document.dispatchEvent(new Event('visibilitychange'))
        }""",
        state,
    )


async def test_access_that_is_turned_on_meanwhile_asks_to_sign_in(console: Page) -> None:
    await console.goto("/console/workers")
    await expect(console.get_by_role("row")).not_to_have_count(0)
    await console.route("**/api/v1/**", lambda route: route.fulfill(status=401, json={"title": "Unauthorized"}))

    await expect(console.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_a_page_that_is_open_over_an_upgrade_offers_the_new_version(console: Page) -> None:
    await console.goto("/console/workers")
    await expect(console.get_by_role("heading", level=1)).to_have_text("Workers")
    await console.route("**/console/static/*/pages/settings.js", lambda route: route.fulfill(status=404))
    await console.route(
        lambda url: urlsplit(url).path == "/",
        lambda route: route.fulfill(json={"console_version": "another"}),
    )
    await console.get_by_role("link", name="Settings").click()
    await expect(console.get_by_text("This page could not be loaded")).to_be_visible()
    await expect(console.get_by_text("The console was updated.")).to_be_visible()

    await console.unroute_all()
    await console.get_by_role("button", name="Load the new version").click()
    await expect(console.get_by_role("heading", level=1)).to_have_text("Settings")


async def test_the_calls_of_a_page_can_be_had_as_curl(console: Page) -> None:
    await console.goto("/console/settings?tab=platform")
    await expect(console.get_by_text("worker manager", exact=True)).to_be_visible()
    await console.get_by_role("button", name="As curl").click()
    dialog = console.get_by_role("dialog")

    await expect(dialog.locator("li code")).to_have_text(re.compile(r"^curl http://127.0.0.1:\d+/api/v1/platform$"))
    assert await axe(console) == []
    await dialog.get_by_role("button", name="Copy").click()
    assert await console.evaluate("document.activeElement !== null")


async def test_injected_markup_runs_nothing(browser: Browser, platform: Platform) -> None:
    async with open_page(browser, platform.urls["orchestrator"], may_log="The action has been blocked") as console:
        await _injected(console)


async def _injected(console: Page) -> None:
    await console.goto("/console/search?q=<img src=x onerror=document.title='owned'>")
    await expect(console.get_by_text("<img src=x onerror=document.title='owned'>", exact=False).first).to_be_visible()
    await console.goto("/console/jobs/%22%3E%3Cscript%3Edocument.title='owned'%3C%2Fscript%3E")
    await expect(console).not_to_have_title("owned")
    refused = await console.evaluate(
        """() => {
          const element = document.createElement('div'), refused = []
          const attempt = (name, act) => { try { act(); } catch (error) { refused.push(name) } }
          const inline = new Promise(over => document.addEventListener('securitypolicyviolation', event => {
            if (event.violatedDirective === 'style-src-attr') over()
          }))
          attempt('innerHTML', () => { element.innerHTML = '<img src=x>' })
          attempt('script', () => { document.createElement('script').textContent = "document.title = 'owned'" })
          attempt('handler', () => { element.setAttribute('onclick', "document.title = 'owned'") })
          document.body.append(element)
          element.setAttribute('style', 'color: red')
          return inline.then(() => [...refused, element.style.color])
        }"""
    )
    assert refused == ["innerHTML", "script", "handler", ""]
    await expect(console).not_to_have_title("owned")
