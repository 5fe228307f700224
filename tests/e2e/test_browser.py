"""What web pages can do to a platform on the same machine, in a real browser: nothing, unless they are its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from hodei.client import Client
from tests.e2e.framework.data import unique
from tests.e2e.framework.http import RawHttp
from tests.e2e.framework.platform import Platform
from tests.fixtures.browser import Page, browser_page, page_server

Http = Callable[[str], RawHttp]
pytestmark = pytest.mark.browser

CREATES = {
    "orchestrator": ("/api/v1/jobs", '{"command":"true","name":"%s"}'),
    "scheduler": ("/api/v1/workers", '{"type":"%s"}'),
    "worker_manager": ("/api/v1/execute", '{"command":"true","name":"%s"}'),
}
ATTACK = """
(async () => {
  const url = URL, body = BODY, told = {}, note = name => error => { told[name] = String(error) }
  const read = (name, answer) =>
    answer.then(async got => { told[name] = got.status + ' ' + await got.text() }, note(name))
  await read('json', fetch(url, {method: 'POST', body, headers: {'Content-Type': 'application/json'}}))
  await read('text', fetch(url, {method: 'POST', body, headers: {'Content-Type': 'text/plain'}}))
  await read('blind', fetch(url, {method: 'POST', body, mode: 'no-cors'}))
  await read('untyped', fetch(url, {method: 'POST', body: new Blob([body]), mode: 'no-cors'}))
  await read('delete', fetch(url + '/0192f0c1-2345-7abc-8def-0123456789ab', {method: 'DELETE'}))
  await read('get', fetch(url.replace(/[/]api.*/, '/health')))
  told.beacon = navigator.sendBeacon(url, body)
  await new Promise(over => {
    const [frame, form, field] = ['iframe', 'form', 'input'].map(name => document.createElement(name))
    frame.name = 'target'; frame.onload = over
    form.method = 'POST'; form.action = url; form.enctype = 'text/plain'; form.target = 'target'
    field.name = body.slice(0, -1) + ',"x":"'; field.value = '"}'
    document.body.append(frame, form); form.append(field)
    form.submit()
  })
  await new Promise(over => {
    const frame = document.createElement('iframe')
    frame.setAttribute('sandbox', 'allow-scripts'); window.onmessage = event => { told.sandboxed = event.data; over() }
    frame.srcdoc = `<script>fetch('${url}', {method: 'POST', body: '${body}', mode: 'no-cors'})
      .then(a => a.type, e => String(e)).then(t => parent.postMessage(t, '*'))<${'/'}script>`
    document.body.append(frame)
  })
  await new Promise(over => {
    const stream = new EventSource(url.replace(/[/]api.*/, '/api/v1/jobs/0192f0c1-2345-7abc-8def-0123456789ab/events'))
    stream.onerror = () => { stream.close(); told.stream = 'error'; over() }
  })
  return told
})()
"""


@asynccontextmanager
async def page_of(origin: str) -> AsyncIterator[Page]:
    async with page_server() as port, browser_page() as page:
        await page.open(f"http://{origin}:{port}/")
        yield page


def script(template: str, url: str, body: str) -> str:
    return template.replace("BODY", repr(body)).replace("URL,", f"{url!r},", 1)


async def test_a_foreign_page_runs_nothing_and_reads_nothing(platform: Platform, client: Client, http: Http) -> None:
    mark = unique("stranger")
    async with page_of("evil.example") as page:
        for service, (path, body) in CREATES.items():
            told = await page.run(script(ATTACK, platform.urls[service] + path, body % mark))
            assert told.pop("blind").strip() == told.pop("untyped").strip() == "0"  # an opaque answer tells nothing
            assert told.pop("sandboxed") == "opaque"
            assert told.pop("stream") == "error"
            assert told.pop("beacon") is True
            assert {name: outcome[:9] for name, outcome in told.items()} == dict.fromkeys(told, "TypeError")

    assert [job async for job in client.jobs(name=mark)] == []
    assert [worker async for worker in client.registered_workers(type=mark)] == []


async def test_under_a_rebound_name_a_page_gets_nothing(platform: Platform) -> None:
    async with browser_page() as page:
        for service, (path, body) in CREATES.items():
            await page.open(f"http://rebound.example:{urlsplit(platform.urls[service]).port}/openapi.json")
            assert "HODEI_ALLOWED_HOSTS" in await page.run("document.body.innerText")
            sent = f"fetch({path!r}, {{method: 'POST', body: {body % 'rebound'!r}}}).then(got => got.status)"
            assert await page.run(sent) == 421
            assert await page.run("fetch('/metrics').then(got => got.status)") == 421


FOLLOW = """new Promise(over => {
  const stream = new EventSource('URL')
  stream.onerror = () => over('error')
  stream.addEventListener('end', () => { stream.close(); over('end') })
})"""


async def test_a_page_of_this_machine_submits_a_job_and_follows_it(platform: Platform, client: Client) -> None:
    mark = unique("local ui")
    async with page_of("localhost") as page:
        url = platform.urls["orchestrator"]
        location = await page.run(
            f'fetch(\'{url}/api/v1/jobs\', {{method: \'POST\', body: \'{{"command":"true","name":"{mark}"}}\','
            " headers: {'Content-Type': 'application/json', 'Idempotency-Key': crypto.randomUUID()}})"
            ".then(got => got.headers.get('Location'))"
        )
        assert await page.run(FOLLOW.replace("URL", f"{url}{location}/events")) == "end"
    assert [job.id async for job in client.jobs(name=mark)] == [location.rpartition("/")[2]]


CLICK = """new Promise(over => {
  const look = () => {
    const found = document.querySelector('#operations-system-get_liveness SELECTOR')
    found ? over(found.click()) : requestAnimationFrame(look)
  }
  look()
})"""
STATUS = """new Promise(over => {
  const look = () => {
    const found = document.querySelector('.live-responses-table tbody .response-col_status')
    found ? over(parseInt(found.innerText)) : requestAnimationFrame(look)
  }
  look()
})"""


async def test_swagger_ui_still_sends_its_own_requests(platform: Platform) -> None:
    async with browser_page() as page:
        await page.open(f"{platform.urls['orchestrator']}/swagger-ui")
        for selector in (".opblock-summary-control", ".try-out__btn", ".execute"):
            await page.run(CLICK.replace("SELECTOR", selector))
        assert await page.run(STATUS) == 200
        for service, (path, _) in CREATES.items():
            await page.open(f"{platform.urls[service]}/openapi.json")
            sent = f"fetch({path!r}, {{method: 'POST', body: '[]'}}).then(got => got.status)"
            assert await page.run(sent) == 422  # it was read, and not refused for where it came from
