"""The tab Log of a job: real text with numbers that are links, followed at its end alone, whatever its length."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from playwright.async_api import Locator, Page, Route, expect

from hodei.client import Client
from schemas.rest.jobs import JobCreate
from tests.e2e.framework.data import command_job, pipeline, step, unique
from tests.e2e.framework.platform import Platform
from tests.fixtures.pages import THEMES, axe, set_theme

HOSTILE = r"""
printf '\033[1;31mred\033[0m and \033[48;2;0;0;200mblue\033[0m\n'
printf '<img src=x onerror="document.title=1"><script>document.title=1</script>\n'
printf 'invoice\342\200\256gnp.exe \033]0;title\007\033]8;;javascript:alert(1)\033\\link\033]8;;\033\\ \033[2J\007\n'
printf 'oops\n' >&2; sleep 0.2
printf '\n'
printf ' 10%%\r 50%%\r100%%\n'
printf '\tno newline'
"""
WAITS = """
for n in 1 2 3 4 5 6 7 8; do seq $((n * 100 - 99)) $((n * 100)); while [ ! -e {folder}/$n ]; do sleep 0.05; done; done
"""
"""Writes 100 lines for each file that appears."""


async def open_log(page: Page, job: str, rest: str = "") -> Locator:
    """Open a job's log. Returns its box."""
    await page.goto(f"/console/jobs/{job}?tab=log{rest}")
    return page.get_by_role("region", name="Log of")


def line(page: Page, number: int) -> Locator:
    return page.locator(f".log-row[data-line='{number}']")


async def run(client: Client, command: str, **fields: object) -> str:
    job = await client.submit(command_job(command, **fields))
    await client.wait(job.id, timeout=60)
    return job.id


async def selected(page: Page, first: int, last: int) -> str:
    """The text that a copy of these lines has."""
    text: str = await page.evaluate(
        """([first, last]) => {
          const text = (line) => document.querySelector(`[data-line="${line}"] .log-text`);
          const [selection, range] = [getSelection(), document.createRange()];
          range.setStart(text(first), 0);
          range.setEndAfter(text(last).lastChild);
          selection.removeAllRanges();
          selection.addRange(range);
          return selection.toString();
        }""",
        [first, last],
    )
    return text


async def test_output_is_text_whatever_it_holds(console: Page, client: Client) -> None:
    await open_log(console, await run(client, HOSTILE))

    await expect(line(console, 1).locator(".ansi-red-fg")).to_have_text("red")
    await expect(line(console, 1).locator(".ansi-blue-bg")).to_have_text("blue")
    await expect(line(console, 2)).to_contain_text('<img src=x onerror="document.title=1"><script>')
    await expect(line(console, 3)).to_contain_text("invoice⟨202E⟩gnp.exe link ⟨0007⟩")
    await expect(console.locator(".log-box :is(img, script, a:not(.log-number))")).to_have_count(0)
    await expect(console).to_have_title(re.compile("Hodei"))
    await expect(console.locator(".log-stderr")).to_contain_text("oops")
    await expect(console.locator(".log-stderr").get_by_role("link", name="stderr")).to_be_visible()
    assert (await selected(console, 3, 7)).replace("oops\n", "").endswith("\n\n100%\n\tno newline")

    for theme in THEMES:
        await set_theme(console, theme)
        assert await axe(console) == []


async def test_a_line_of_any_length_is_cut_and_a_log_that_succeeded_begins_at_its_beginning(
    console: Page, client: Client
) -> None:
    await open_log(console, await run(client, "head -c 100000 /dev/zero | tr '\\0' x; echo; echo end"))

    note = line(console, 1).locator(".log-note")
    await expect(note).to_have_attribute("data-note", re.compile("80.000 characters more"))
    assert await line(console, 1).evaluate("row => row.textContent.trim().length") == 20_000
    await expect(console.get_by_role("button", name="To the end")).to_be_visible()
    await console.get_by_role("button", name="To the end").click()
    await expect(line(console, 2)).to_be_in_viewport()


async def test_the_numbers_of_lines_are_links(console: Page, client: Client) -> None:
    box = await open_log(console, job := await run(client, "seq 1000"))
    await line(console, 20).locator(".log-number").click()
    await expect(console).to_have_url(re.compile("attempt=1#L20$"))
    await line(console, 24).locator(".log-number").click(modifiers=["Shift"])
    await expect(console).to_have_url(re.compile("#L20-L24$"))
    await expect(console.locator(".log-chosen")).to_have_count(5)

    await open_log(console, job, "#L700-L702")
    await expect(line(console, 701)).to_be_in_viewport()
    await expect(console.locator(".log-chosen")).to_have_text(["700\n", "701\n", "702\n"])
    await console.get_by_label("Go to line").fill("120-130")
    await console.keyboard.press("Enter")
    await expect(console).to_have_url(re.compile("#L120-L130$"))
    await expect(line(console, 120)).to_be_in_viewport()

    await console.get_by_label("Times").check()
    await expect(line(console, 120).locator(".log-time")).to_be_visible()
    await box.focus()
    await console.keyboard.press("End")
    await expect(line(console, 1000)).to_be_in_viewport()


async def test_a_live_log_is_followed_while_a_person_is_at_its_end(
    console: Page, client: Client, own_platform: Platform, tmp_path: Path
) -> None:
    job = await client.submit(command_job(WAITS.format(folder=tmp_path)))
    box = await open_log(console, job.id)
    await expect(line(console, 100)).to_be_in_viewport()
    await expect(console.get_by_text("Following")).to_be_visible()
    (tmp_path / "1").touch()
    await expect(line(console, 200)).to_be_in_viewport()

    await box.hover()
    await console.mouse.wheel(0, -1500)
    await expect(console.get_by_role("button", name="Follow the end")).to_be_visible()
    top = await box.evaluate("box => box.scrollTop")
    (tmp_path / "2").touch()
    await expect(line(console, 300)).to_be_attached()
    assert await box.evaluate("box => box.scrollTop") == top

    await console.get_by_role("button", name="Follow the end").click()
    await expect(line(console, 300)).to_be_in_viewport()
    for number in range(3, 9):
        (tmp_path / str(number)).touch()
    await expect(line(console, 800)).to_be_in_viewport()
    await expect(console.get_by_text("Following")).to_have_count(0)
    await client.wait(job.id, timeout=30)


async def test_twenty_thousand_lines_are_in_the_page(console: Page, client: Client) -> None:
    await open_log(console, await run(client, "seq -f 'number %.0f' 20000"))
    await expect(console.locator(".log-row")).to_have_count(20_000)

    assert await console.evaluate("window.find('number 13579')")  # as the browser's own search
    assert await selected(console, 1, 20_000) == "\n".join(f"number {n}" for n in range(1, 20_001))


async def test_a_longer_log_is_read_where_it_is_looked_at(console: Page, client: Client) -> None:
    command = "seq -f 'number %.0f' 25000; echo 'ERROR: it broke'; seq 25002 60000; exit 1"
    box = await open_log(console, job := await run(client, command))
    await expect(line(console, 60_000)).to_be_in_viewport()  # it failed, so it is opened at its end
    await expect(console.get_by_text("60\u202f000 lines")).to_be_visible()

    await box.focus()
    await console.keyboard.press("Home")
    await expect(line(console, 1)).to_be_in_viewport()
    await box.hover()
    await console.mouse.wheel(0, 2000)  # 100 lines of 20 pixels
    await expect(line(console, 101)).to_be_in_viewport()

    await console.get_by_role("button", name="First error").click()
    await expect(line(console, 25_001)).to_be_in_viewport()
    await expect(line(console, 25_001)).to_contain_text("ERROR: it broke")
    await expect(console).to_have_url(re.compile("#L25001$"))

    search = console.get_by_role("searchbox", name="Search the log")
    await search.fill("number 999")
    await search.press("Enter")
    await expect(console.get_by_text(re.compile("^1 of 11$"))).to_be_visible()
    await expect(line(console, 999)).to_be_in_viewport()
    await expect(line(console, 999).locator("mark")).to_have_text("number 999")
    await search.press("Enter")
    await expect(line(console, 9990)).to_be_in_viewport()
    await search.press("Shift+Enter")
    await expect(line(console, 999)).to_be_in_viewport()

    await open_log(console, job, "#L44444")
    await expect(line(console, 44_444)).to_be_in_viewport()
    assert await console.locator(".log-row").count() <= 1200


async def test_a_search_for_the_first_error_leaves_a_person_who_went_on_where_they_are(
    console: Page, client: Client
) -> None:
    answered, asked = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        asked.set()
        await answered.wait()
        await route.continue_()

    await console.route(re.compile(r"/logs\?.*q=fail"), late)
    box = await open_log(console, await run(client, "seq 60000; echo 'Error: the end' >&2; exit 1"))
    await expect(line(console, 60_001)).to_be_in_viewport()
    top = await box.evaluate("box => box.getBoundingClientRect().top")
    await console.get_by_role("button", name="First error").click()
    await expect(console).to_have_url(re.compile("#L60001$"))
    await asked.wait()
    await expect(console.get_by_role("button", name="To the end")).to_be_hidden()

    await console.get_by_label("Go to line").fill("30000")
    await console.keyboard.press("Enter")
    await expect(line(console, 30_000)).to_be_in_viewport()
    answered.set()
    await expect(console.get_by_role("button", name="First error")).to_be_visible()
    await console.wait_for_load_state("networkidle")
    await expect(console).to_have_url(re.compile("#L30000$"))
    await expect(line(console, 30_000)).to_be_in_viewport()

    await expect(console.get_by_role("button", name="To the end")).to_be_visible()
    search = console.get_by_role("searchbox", name="Search the log")
    await search.fill("30001")
    await search.press("Enter")
    await expect(console.get_by_text("1 of 1", exact=True)).to_be_visible()
    assert await box.evaluate("box => box.getBoundingClientRect().top") == top  # the tools take no more room


async def test_a_log_of_which_a_part_was_kept_says_so(console: Page, client: Client) -> None:
    async def cut(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, json={**await answer.json(), "truncated": True})

    job = await run(client, "echo kept")
    await open_log(console, job)
    await expect(console.locator(".log-facts")).to_contain_text("1 line, 5 bytes")
    await expect(console.locator(".log-facts")).not_to_contain_text("kept")
    await console.route(re.compile(r"/logs\?"), cut)
    await console.reload()
    await expect(console.locator(".log-facts")).to_contain_text("1 line, 5 bytes, only a part kept")


async def test_attempts_and_steps_have_logs_of_their_own(console: Page, client: Client) -> None:
    spec = pipeline(
        step("left", "echo from the left"),
        step("right", 'echo "try $HODEI_ATTEMPT"; [ "$HODEI_ATTEMPT" = 2 ]', retry={"max_attempts": 2, "delay": 0}),
    )
    stored = await client.create_pipeline(spec)
    job = await client.submit(JobCreate(pipeline_id=stored.id))
    await client.wait(job.id, timeout=60)

    await open_log(console, job.id, "&step=right")
    await expect(line(console, 1)).to_contain_text("try 2")
    await console.get_by_label("Attempt").select_option("1")
    await expect(line(console, 1)).to_contain_text("try 1")
    await expect(console).to_have_url(re.compile("step=right&attempt=1"))

    await console.get_by_label("Step").select_option("All side by side")
    lanes = console.locator(".log-lane")
    await expect(lanes.filter(has_text="left")).to_contain_text("from the left")
    await expect(lanes.filter(has_text="right")).to_contain_text("try 2")
    await console.reload()
    await lanes.get_by_role("link", name="left").click()
    await expect(line(console, 1)).to_contain_text("from the left")


async def test_the_raw_log_is_saved_byte_for_byte(
    guarded_console: Page, guarded_platform: Platform, tmp_path: Path
) -> None:
    urls = [guarded_platform.urls[name] for name in ("orchestrator", "scheduler", "worker_manager")]
    async with Client(*urls, token=guarded_platform.token) as client:
        await open_log(guarded_console, await run(client, r"printf 'a\033[1mb\rc\377\n'"))
    async with guarded_console.expect_download() as download:
        await guarded_console.get_by_role("button", name="Raw log").click()
    await (await download.value).save_as(tmp_path / "log")
    assert (tmp_path / "log").read_bytes() == b"a\033[1mb\rc\377\n"


async def test_a_log_reads_well_on_a_telephone(narrow_console: Page, client: Client) -> None:
    await open_log(narrow_console, await run(client, f"echo {unique('x')} {'word ' * 200}"))
    await expect(line(narrow_console, 1)).to_be_visible()
    assert await narrow_console.evaluate("document.documentElement.scrollWidth <= innerWidth")
