"""A job's output over HTTP: its steps followed side by side, resumable at every event, and in words when it is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from hodei.client import Client
from hodei.client import transport as transports
from hodei.client.sse import ServerSentEvent, parse_events
from schemas.states import Reason
from schemas.subjects import LOGS
from shared.web import WebServer
from shared.web.sse import OPEN_STREAMS
from tests.fixtures.events import publish_log
from tests.integration.orchestrator.conftest import (
    DEADLINE,
    House,
    chunk,
    finished,
    lost,
    scheduled,
    started,
)

TWO = ({"name": "slow", "command": "true"}, {"name": "quick", "command": "true"})


@asynccontextmanager
async def following(
    house: House, job: Any, after: str | None = None, query: str = ""
) -> AsyncIterator[AsyncIterator[ServerSentEvent]]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
    request = house.http.get(f"{house.url}/api/v1/jobs/{job['id']}/logs?{query}", headers=headers)
    async with asyncio.timeout(DEADLINE), request as answer:
        assert answer.status == 200
        yield parse_events(answer.content)


async def followed(house: House, job: Any, after: str | None = None) -> list[ServerSentEvent]:
    async with following(house, job, after) as events:
        return [event async for event in events]


def line(event: ServerSentEvent) -> tuple[str, int, str]:
    """The step, the attempt and the text of a line."""
    shown = orjson.loads(event.data)
    return shown["task"], shown["attempt"], shown["message"]


def lines(events: list[ServerSentEvent]) -> list[tuple[str, int, str]]:
    return [line(event) for event in events if event.event != "end"]


async def text(house: House, job: Any) -> str:
    url = f"{house.url}/api/v1/jobs/{job['id']}/logs"
    async with house.http.get(url, headers={"Accept": "text/plain"}) as answer:
        assert answer.status == 200
        return await answer.text()


async def purge(house: House, **what: object) -> None:
    await house.bus._connection.api(f"STREAM.PURGE.{house.bus.catalogue.stream(LOGS)}", what)


async def test_steps_that_run_side_by_side_are_followed_side_by_side(house: House) -> None:
    job = await house.submit(pipeline_id=(await house.pipeline(*TWO))["id"])
    slow, quick = [scheduled(await house.queued(job, name)) for name in ("slow", "quick")]
    await house.say(started(slow))
    await house.say(started(quick))
    async with following(house, job) as events:
        await publish_log(house.bus, chunk(slow, 1, "begun"), slow.worker_id)
        assert line(await anext(events)) == ("slow", 1, "begun")
        for tick in range(1, 4):  # the first step has not ended, and each line is waited for before the next
            await publish_log(house.bus, chunk(quick, tick, f"tick {tick}"), quick.worker_id)
            assert line(await anext(events)) == ("quick", 1, f"tick {tick}")
        await house.say(finished(quick, chunks=3))
        await publish_log(house.bus, chunk(slow, 2, "done"), slow.worker_id)
        assert line(await anext(events)) == ("slow", 1, "done")
        await house.say(finished(slow, chunks=2))
        assert (await anext(events)).event == "end"


async def test_a_step_is_followed_after_what_it_needs_and_holds_up_nothing_beside_it(house: House) -> None:
    needy = {"name": "needy", "command": "true", "depends_on": ["first"]}
    steps = {"name": "first", "command": "true"}, needy, {"name": "beside", "command": "true"}
    job = await house.submit(pipeline_id=(await house.pipeline(*steps))["id"])
    first, beside = [scheduled(await house.queued(job, name)) for name in ("first", "beside")]
    await house.say(started(first))
    async with following(house, job) as events:
        await publish_log(house.bus, chunk(first, 1, "one"), first.worker_id)
        assert line(await anext(events)) == ("first", 1, "one")
        await house.say(finished(first, chunks=2))  # its last chunk is late
        after = scheduled(await house.queued(job, "needy"))
        await publish_log(house.bus, chunk(after, 1, "three"), after.worker_id)
        await house.say(started(after))
        await publish_log(house.bus, chunk(beside, 1, "beside"), beside.worker_id)
        await house.say(started(beside))
        assert line(await anext(events)) == ("beside", 1, "beside")
        await publish_log(house.bus, chunk(first, 2, "two"), first.worker_id)
        assert line(await anext(events)) == ("first", 1, "two")
        assert line(await anext(events)) == ("needy", 1, "three")
        await house.say(finished(after, chunks=1), finished(beside, chunks=1))
        assert (await anext(events)).event == "end"


async def test_what_ended_before_is_shown_beside_all_that_runs(house: House) -> None:
    steps = [{"name": f"step-{n}", "command": "true"} for n in range(8)]
    job = await house.submit(pipeline_id=(await house.pipeline(*steps))["id"])
    *running, ended = [scheduled(await house.queued(job, step["name"])) for step in steps]
    await house.say(*(started(one) for one in (*running, ended)))
    await publish_log(house.bus, chunk(ended, 1, "done"), ended.worker_id)
    await house.say(finished(ended, chunks=1))
    async with following(house, job) as events:
        assert line(await anext(events)) == ("step-7", 1, "done")


async def test_a_stream_of_several_steps_resumes_at_every_event(house: House) -> None:
    retried = {"name": "slow", "command": "true", "retry": {"max_attempts": 2, "delay": 0}}
    last = {"name": "last", "command": "true", "depends_on": ["slow", "quick"]}
    job = await house.submit(pipeline_id=(await house.pipeline(retried, TWO[1], last))["id"])
    slow, quick = [scheduled(await house.queued(job, name)) for name in ("slow", "quick")]
    seen: list[ServerSentEvent] = []
    async with following(house, job) as events:

        async def write(placed: Any, seq: int, *messages: str) -> None:
            await publish_log(house.bus, chunk(placed, seq, *messages), placed.worker_id)
            seen.extend([await anext(events) for _ in messages])

        await house.say(started(slow), started(quick))
        await write(slow, 1, "a", "b")
        await write(quick, 1, "x", "y")
        await write(slow, 2, "c")
        await house.say(finished(slow, "failed", exit_code=1, reason=Reason.EXIT_CODE, chunks=2))
        again = scheduled(await house.queued(job, "slow", attempt=2))
        await house.say(started(again))
        await write(again, 1, "a2")
        await write(quick, 2, "z")
        await house.say(lost(quick))
        anew = scheduled(await house.queued(job, "quick", attempt=2))
        await house.say(started(anew))
        await write(anew, 1, "x2")
        await house.say(finished(again, chunks=1), finished(anew, chunks=1))
        end = scheduled(await house.queued(job, "last"))
        await house.say(started(end))
        await write(end, 1, "over")
        await house.say(finished(end, chunks=1))
        assert (await anext(events)).event == "end"

    written = lines(seen)
    assert len(written) == len(set(written)) == 9
    for number, event in enumerate(seen, start=1):
        rest = lines(await followed(house, job, event.id))
        assert sorted(rest) == sorted(written[number:])
        for step in ("slow", "quick", "last"):
            assert [one for one in rest if one[0] == step] == [one for one in written[number:] if one[0] == step]


async def over(house: House, job: Any, *names: str) -> None:
    """Each step has written `<name> 1` and `<name> 2`, and the job is over."""
    for name in names:
        placed = scheduled(await house.queued(job, name))
        for seq in (1, 2):
            await publish_log(house.bus, chunk(placed, seq, f"{name} {seq}"), placed.worker_id)
        await house.say(finished(placed, chunks=2))
    await house.over(job)


async def test_a_job_whose_output_is_no_longer_kept_says_so_at_once(house: House) -> None:
    names = [f"step-{number}" for number in range(100)]
    pipeline = await house.pipeline(*({"name": name, "command": "true"} for name in names))
    job = await house.submit(pipeline_id=pipeline["id"])
    await over(house, job, *names)
    await purge(house)

    began = time.monotonic()
    shown = await house.get(f"/api/v1/jobs/{job['id']}/logs")
    plain = await text(house, job)
    live = await followed(house, job)
    lasted = time.monotonic() - began

    words = "the output of this execution is no longer kept"
    assert [(one["task"], one["message"]) for one in shown["logs"]] == [(name, words) for name in names]
    assert (shown["truncated"], shown["expired"]) == (True, True)
    assert plain == f"hodei: {words}\n" * 100
    assert sorted(lines(live)) == sorted((name, 1, words) for name in names)
    assert orjson.loads(live[-1].data) == {"expired": True}
    assert lasted < 50, "each waits a second in all, not a second for each step"


async def test_steps_whose_output_is_kept_are_shown_beside_those_whose_is_not(house: House) -> None:
    job = await house.submit(pipeline_id=(await house.pipeline(*TWO))["id"])
    await over(house, job, "slow", "quick")
    await purge(house, keep=1)

    shown = await house.get(f"/api/v1/jobs/{job['id']}/logs")

    assert [(one["task"], one["message"]) for one in shown["logs"]] == [
        ("slow", "the output of this execution is no longer kept"),
        ("quick", "the beginning of this output is no longer kept"),
        ("quick", "quick 2"),
    ]
    assert shown["expired"]


async def test_a_log_that_is_still_being_written_is_not_said_to_be_gone(house: House) -> None:
    job = await house.submit()
    placed = scheduled(await house.queued(job))
    await purge(house)
    await house.say(started(placed))
    async with following(house, job) as events:
        shown = await house.get(f"/api/v1/jobs/{job['id']}/logs")
        assert (shown["logs"], shown["truncated"], shown["expired"]) == ([], False, False)
        await publish_log(house.bus, chunk(placed, 1, "here"), placed.worker_id)
        assert line(await anext(events))[2] == "here"
        await house.say(finished(placed, chunks=2))
        await publish_log(house.bus, chunk(placed, 2, "late"), placed.worker_id)
        assert line(await anext(events))[2] == "late"
        assert (await anext(events)).event == "end"


async def test_the_text_of_a_job_is_the_bytes_of_its_executions(house: House) -> None:
    job = await house.submit(pipeline_id=(await house.pipeline(*TWO))["id"])
    for name in ("slow", "quick"):
        placed = scheduled(await house.queued(job, name))
        one = chunk(placed, 1, name)
        lines_ = [one.lines[0].model_copy(update={"partial": True, "base64": "/wA=", "message": "\ufffd\ufffd"})]
        await publish_log(house.bus, one.model_copy(update={"lines": [*lines_, *one.lines]}), placed.worker_id)
        await house.say(finished(placed, chunks=1))
    await house.over(job)
    url = f"{house.url}/api/v1/jobs/{job['id']}/logs"
    async with house.http.get(url, headers={"Accept": "text/plain"}) as answer:
        assert await answer.read() == b"\xff\0slow\n\xff\0quick\n"


async def test_the_text_of_a_search_has_a_line_for_each_line(house: House) -> None:
    job = await house.submit()
    placed = scheduled(await house.queued(job))
    entries = [("stdout", "found", True), ("stderr", "found, too", False), ("stdout", " here", False)]
    moment = chunk(placed, 1, "").lines[0]
    lines_ = [
        moment.model_copy(update={"stream": stream, "message": message, "partial": partial or None})
        for stream, message, partial in entries
    ]
    await publish_log(house.bus, chunk(placed, 1).model_copy(update={"lines": lines_}), placed.worker_id)
    await house.say(finished(placed, chunks=1))
    await house.over(job)
    url = f"{house.url}/api/v1/jobs/{job['id']}/logs"
    for query, expected in (
        ("q=found", b"found\nfound, too\n here\n"),
        ("q=here", b"found here\n"),
        ("stream=stdout", b"found here\n"),
        ("", b"foundfound, too\n here\n"),
    ):
        async with house.http.get(f"{url}?{query}", headers={"Accept": "text/plain"}) as answer:
            assert await answer.read() == expected, query


async def shown(house: House, job: Any, query: str, status: int = 200) -> Any:
    async with house.http.get(f"{house.url}/api/v1/jobs/{job['id']}/logs?{query}") as answer:
        assert answer.status == status, await answer.text()
        return await answer.json(content_type=None)


async def test_a_part_of_a_jobs_output_is_that_of_one_execution(house: House) -> None:
    steps = {"name": "first", "command": "true"}, {"name": "last", "command": "true", "depends_on": ["first"]}
    job = await house.submit(pipeline_id=(await house.pipeline(*steps))["id"])
    first = scheduled(await house.queued(job, "first"))
    await publish_log(house.bus, chunk(first, 1, "one", "two", "three"), first.worker_id)
    await house.say(started(first))
    await house.say(finished(first, chunks=1))
    last = scheduled(await house.queued(job, "last"))

    def numbers(part: Any) -> list[tuple[str, int, str]]:
        return [(line["task"], line["line"], line["message"]) for line in part["logs"]]

    alone = await shown(house, job, "limit=1")
    assert (numbers(alone), alone["running"]) == ([("first", 1, "one")], True), "no other has begun yet"
    await publish_log(house.bus, chunk(last, 1, "four", "five"), last.worker_id)
    await house.say(started(last))
    async with following(house, job) as events:
        while line(await anext(events)) != ("last", 1, "five"):
            pass

    part = await shown(house, job, "step=first&attempt=1&from_line=2")
    assert numbers(part) == [("first", 2, "two"), ("first", 3, "three")]
    assert (part["running"], part["next_line"]) == (False, None)
    part = await shown(house, job, f"execution_id={last.execution_id}&q=i&limit=1")
    assert (numbers(part), part["running"]) == ([("last", 2, "five")], True)
    assert numbers(await shown(house, job, "tail=3")) == [
        ("first", 3, "three"),
        ("last", 1, "four"),
        ("last", 2, "five"),
    ]
    assert numbers(await shown(house, job, "tail=0")) == []
    assert numbers(await shown(house, job, "step=last")) == [("last", 1, "four"), ("last", 2, "five")]
    assert numbers(await shown(house, job, "attempt=2")) == []
    assert (await shown(house, job, "tail=3"))["first_line"] is None, "it has the lines of two executions"

    [error] = (await shown(house, job, "step=frist", 422))["errors"]
    assert (error["loc"], error["msg"]) == (["query", "step"], "this job has no step 'frist'")
    for query, field in (("from_line=2", "from_line"), ("q=o", "q"), ("limit=9&attempt=1", "limit")):
        [error] = (await shown(house, job, query, 422))["errors"]
        assert error["loc"] == ["query", field]
        assert error["msg"].endswith("that of 2: choose one with step, attempt, index or execution_id")


async def test_a_jobs_live_stream_begins_with_the_last_lines_of_its_executions(house: House) -> None:
    job = await house.submit(pipeline_id=(await house.pipeline(*TWO))["id"])
    slow, quick = [scheduled(await house.queued(job, name)) for name in ("slow", "quick")]
    for number, one in enumerate((quick, slow)):
        await publish_log(house.bus, chunk(one, 1, f"a{number}", f"b{number}"), one.worker_id)
        await house.say(started(one))
    async with following(house, job) as events:
        while line(await anext(events)) != ("slow", 1, "b1"):
            pass

    async with following(house, job, query="tail=1") as events:
        last = await anext(events)
        assert line(last) == ("slow", 1, "b1")
        await publish_log(house.bus, chunk(quick, 2, "c0"), quick.worker_id)
        assert line(await anext(events)) == ("quick", 1, "c0"), "what preceded the last line is not sent later"
    async with following(house, job, after=last.id, query="tail=1") as events:
        assert line(await anext(events)) == ("quick", 1, "c0")
    async with following(house, job, query=f"execution_id={quick.execution_id}&from_line=2") as events:
        assert line(await anext(events)) == ("quick", 1, "b0")
        assert line(await anext(events)) == ("quick", 1, "c0")
        await house.say(finished(quick, chunks=2))
        assert (await anext(events)).event == "end", "it ends with its execution, although the job goes on"
    async with following(house, job, query="tail=0") as events:
        first = asyncio.create_task(anext(events))
        for number in range(2, 100):  # the first ones may precede the beginning of the stream
            await publish_log(house.bus, chunk(slow, number, "new"), slow.worker_id)
            if (await asyncio.wait([first], timeout=0.1))[0]:
                break
        assert line(first.result()) == ("slow", 1, "new")


async def position(house: House, job: Any, query: str) -> str:
    """The id that a stream has sent before it breaks, with its first line if there is one."""
    request = house.http.get(
        f"{house.url}/api/v1/jobs/{job['id']}/logs?{query}", headers={"Accept": "text/event-stream"}
    )
    async with asyncio.timeout(DEADLINE), request as answer:
        first = (await answer.content.readline()).decode()
    assert first.startswith("id: "), first
    return first.removeprefix("id: ").strip()


@pytest.mark.parametrize("query", ["tail=0", "tail=1", "since=2020-01-01T00:00:00Z", ""])
async def test_a_stream_that_breaks_before_its_first_line_resumes_where_it_began(house: House, query: str) -> None:
    job = await house.submit(pipeline_id=(await house.pipeline(*TWO))["id"])
    at = await position(house, job, query)
    slow, quick = [scheduled(await house.queued(job, name)) for name in ("slow", "quick")]
    await publish_log(house.bus, chunk(slow, 1, "one", "two"), slow.worker_id)
    await house.say(started(slow))
    async with following(house, job, after=at, query=query) as events:
        assert [line(await anext(events))[2] for _ in range(2)] == ["one", "two"], "nothing had begun"

    at = await position(house, job, "tail=0")
    await publish_log(house.bus, chunk(slow, 2, "three"), slow.worker_id)
    await publish_log(house.bus, chunk(quick, 1, "first"), quick.worker_id)
    await house.say(started(quick))
    async with following(house, job, after=at, query="tail=0") as events:
        found = {line(await anext(events)) for _ in range(2)}
    assert found == {("slow", 1, "three"), ("quick", 1, "first")}


async def test_the_client_loses_nothing_when_its_stream_breaks_before_the_first_line(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await house.submit()
    placed = scheduled(await house.queued(job))
    await publish_log(house.bus, chunk(placed, 1, "before"), placed.worker_id)
    await house.say(started(placed))
    async with following(house, job) as events:
        assert line(await anext(events))[2] == "before"
    opened, broken = asyncio.Event(), asyncio.Event()
    parse = transports.parse_events

    def noting(lines: AsyncIterator[bytes], **options: Any) -> AsyncIterator[ServerSentEvent]:
        remember = options.pop("on_id")
        return parse(lines, on_id=lambda id: (remember(id), opened.set()))

    monkeypatch.setattr(transports, "parse_events", noting)
    monkeypatch.setattr(transports, "FIRST_DELAY", 1.0)  # time to write in the gap
    web = house.part(WebServer)
    async with Client(house.url) as client, asyncio.timeout(DEADLINE):
        client.on_retry = lambda _: broken.set()
        follow = client.follow_logs(job["id"], tail=0)
        first = asyncio.ensure_future(anext(follow))
        await opened.wait()
        await web.app[OPEN_STREAMS].close(web.app)
        await broken.wait()
        await publish_log(house.bus, chunk(placed, 2, "in the gap"), placed.worker_id)
        assert (await first).message == "in the gap"


async def test_the_output_so_far_is_a_stream_that_resumes_at_every_event(house: House) -> None:
    retried = {"name": "slow", "command": "true", "retry": {"max_attempts": 2, "delay": 0}}
    job = await house.submit(pipeline_id=(await house.pipeline(retried, TWO[1]))["id"])
    slow, quick = [scheduled(await house.queued(job, name)) for name in ("slow", "quick")]
    await house.say(started(slow))
    await publish_log(house.bus, chunk(slow, 1, "a", "b"), slow.worker_id)
    await publish_log(house.bus, chunk(slow, 2, "c"), slow.worker_id)
    await house.say(finished(slow, "failed", exit_code=1, reason=Reason.EXIT_CODE, chunks=2))
    again = scheduled(await house.queued(job, "slow", attempt=2))
    await publish_log(house.bus, chunk(again, 1, "a2"), again.worker_id)
    await publish_log(house.bus, chunk(quick, 1, "x"), quick.worker_id)
    await house.say(started(quick))
    await house.say(started(again))
    async with following(house, job) as live:
        while line(await anext(live)) != ("slow", 2, "a2"):
            pass

    async with following(house, job, query="follow=false") as events:
        *seen, end = [event async for event in events]
    assert (end.event, orjson.loads(end.data)) == ("end", {"expired": False}), "although the job goes on"
    assert [orjson.loads(event.data) for event in seen] == (await shown(house, job, ""))["logs"]
    for number, event in enumerate(seen, start=1):
        async with following(house, job, after=event.id, query="follow=false") as events:
            assert lines([event async for event in events]) == lines(seen[number:])
    async with following(house, job, query="follow=false&step=slow&attempt=1") as events:
        assert lines([event async for event in events]) == [("slow", 1, text) for text in "abc"]
    async with following(house, job, after=seen[-1].id) as events:
        await publish_log(house.bus, chunk(again, 2, "b2"), again.worker_id)
        assert line(await anext(events)) == ("slow", 2, "b2"), "a live stream goes on from there"


async def test_the_client_reads_a_whole_output_line_by_line(house: House) -> None:
    job = await house.submit(pipeline_id=(await house.pipeline(*TWO))["id"])
    await over(house, job, "slow", "quick")
    async with Client(house.url) as client:
        found = [one async for one in client.log_lines(job["id"])]
        assert [one.model_copy(update={"id": None}) for one in found] == (await client.logs(job["id"])).logs
        rest = [one async for one in client.log_lines(job["id"], after=found[0].id)]
        assert [(one.id, one.message) for one in rest] == [(one.id, one.message) for one in found[1:]]
        assert [one.message async for one in client.log_lines(job["id"], step="quick")] == ["quick 1", "quick 2"]
        await purge(house)
        assert [one.remark async for one in client.log_lines(job["id"])] == ["expired", "expired"]


async def test_the_output_so_far_has_no_other_beginning(house: House) -> None:
    job = await house.submit()
    path = f"{house.url}/api/v1/jobs/{job['id']}/logs"
    for query in ("tail=1", "from_line=1", "since=2026-01-01T00:00:00Z"):
        async with house.http.get(f"{path}?follow=false&{query}", headers={"Accept": "text/event-stream"}) as answer:
            assert answer.status == 422, query
    [error] = (await shown(house, job, "follow=false", 422))["errors"]
    assert error["loc"] == ["query", "follow"]
