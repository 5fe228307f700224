"""A job's output over HTTP: its steps followed side by side, resumable at every event, and in words when it is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from hodei.client.sse import ServerSentEvent, parse_events
from schemas.states import Reason
from schemas.subjects import LOGS
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
async def following(house: House, job: Any, after: str | None = None) -> AsyncIterator[AsyncIterator[ServerSentEvent]]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
    request = house.http.get(f"{house.url}/api/v1/jobs/{job['id']}/logs", headers=headers)
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
        await house.bus.publish_log(chunk(slow, 1, "begun"))
        assert line(await anext(events)) == ("slow", 1, "begun")
        for tick in range(1, 4):  # the first step has not ended, and each line is waited for before the next
            await house.bus.publish_log(chunk(quick, tick, f"tick {tick}"))
            assert line(await anext(events)) == ("quick", 1, f"tick {tick}")
        await house.say(finished(quick, chunks=3))
        await house.bus.publish_log(chunk(slow, 2, "done"))
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
        await house.bus.publish_log(chunk(first, 1, "one"))
        assert line(await anext(events)) == ("first", 1, "one")
        await house.say(finished(first, chunks=2))  # its last chunk is late
        after = scheduled(await house.queued(job, "needy"))
        await house.bus.publish_log(chunk(after, 1, "three"))
        await house.say(started(after))
        await house.bus.publish_log(chunk(beside, 1, "beside"))
        await house.say(started(beside))
        assert line(await anext(events)) == ("beside", 1, "beside")
        await house.bus.publish_log(chunk(first, 2, "two"))
        assert line(await anext(events)) == ("first", 1, "two")
        assert line(await anext(events)) == ("needy", 1, "three")
        await house.say(finished(after, chunks=1), finished(beside, chunks=1))
        assert (await anext(events)).event == "end"


async def test_what_ended_before_is_shown_beside_all_that_runs(house: House) -> None:
    steps = [{"name": f"step-{n}", "command": "true"} for n in range(8)]
    job = await house.submit(pipeline_id=(await house.pipeline(*steps))["id"])
    *running, ended = [scheduled(await house.queued(job, step["name"])) for step in steps]
    await house.say(*(started(one) for one in (*running, ended)))
    await house.bus.publish_log(chunk(ended, 1, "done"))
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
            await house.bus.publish_log(chunk(placed, seq, *messages))
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
            await house.bus.publish_log(chunk(placed, seq, f"{name} {seq}"))
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
        await house.bus.publish_log(chunk(placed, 1, "here"))
        assert line(await anext(events))[2] == "here"
        await house.say(finished(placed, chunks=2))
        await house.bus.publish_log(chunk(placed, 2, "late"))
        assert line(await anext(events))[2] == "late"
        assert (await anext(events)).event == "end"


async def test_the_text_of_a_job_is_the_bytes_of_its_executions(house: House) -> None:
    job = await house.submit(pipeline_id=(await house.pipeline(*TWO))["id"])
    for name in ("slow", "quick"):
        placed = scheduled(await house.queued(job, name))
        one = chunk(placed, 1, name)
        lines_ = [one.lines[0].model_copy(update={"partial": True, "base64": "/wA=", "message": "\ufffd\ufffd"})]
        await house.bus.publish_log(one.model_copy(update={"lines": [*lines_, *one.lines]}))
        await house.say(finished(placed, chunks=1))
    await house.over(job)
    url = f"{house.url}/api/v1/jobs/{job['id']}/logs"
    async with house.http.get(url, headers={"Accept": "text/plain"}) as answer:
        assert await answer.read() == b"\xff\0slow\n\xff\0quick\n"
