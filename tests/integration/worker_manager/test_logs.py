"""An execution's output over HTTP: whole, as text, and live."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import orjson

from hodei.client.sse import ServerSentEvent, parse_events
from schemas.events import LogChunk, LogLine
from tests.integration.worker_manager.conftest import DEADLINE, Platform, Running
from tests.unit.worker_manager.events import NOON, Script

LIVE = {"Accept": "text/event-stream"}


def chunk(script: Script, seq: int, *messages: str) -> LogChunk:
    lines = [
        LogLine(timestamp=NOON + timedelta(seconds=seq, microseconds=index), stream="stdout", message=message)
        for index, message in enumerate(messages)
    ]
    return LogChunk(execution_id=script.execution_id, seq=seq, lines=lines)


def words(events: list[ServerSentEvent]) -> list[str]:
    return [orjson.loads(event.data)["message"] for event in events if event.event != "end"]


async def read(manager: Running, script: Script, **headers: str) -> list[ServerSentEvent]:
    async with asyncio.timeout(DEADLINE):
        request = manager.request("GET", f"/executions/{script.execution_id}/logs", headers={**LIVE, **headers})
        async with request as answer:
            assert answer.status == 200
            assert answer.content_type == "text/event-stream"
            return [event async for event in parse_events(answer.content)]


async def finished(platform: Platform, manager: Running, script: Script, *chunks: LogChunk) -> None:
    for one in chunks:
        await platform.bus.publish_log(one)
    await platform.say(script.finished(chunks=len(chunks)))
    await manager.recorded(1)


async def test_a_finished_execution_shows_all_it_wrote(platform: Platform, manager: Running) -> None:
    script = Script()
    await finished(platform, manager, script, chunk(script, 1, "one", "two"), chunk(script, 2, "three"))

    shown = await manager.call("GET", f"/executions/{script.execution_id}/logs")

    assert shown["execution_id"] == script.execution_id
    assert [line["message"] for line in shown["logs"]] == ["one", "two", "three"]
    assert shown["logs"][0] == {"timestamp": "2026-11-24T12:00:01.000000Z", "stream": "stdout", "message": "one"}
    assert shown["truncated"] is False
    async with manager.request(
        "GET", f"/executions/{script.execution_id}/logs", headers={"Accept": "text/plain"}
    ) as answer:
        assert (answer.content_type, await answer.text()) == ("text/plain", "one\ntwo\nthree\n")


async def test_chunks_still_on_their_way_are_waited_for(platform: Platform, manager: Running) -> None:
    script = Script()
    await platform.bus.publish_log(chunk(script, 1, "early"))
    await platform.say(script.finished(chunks=2))
    await manager.recorded(1)

    asking = asyncio.create_task(manager.call("GET", f"/executions/{script.execution_id}/logs"))
    await asyncio.wait([asking], timeout=0.1)
    await platform.bus.publish_log(chunk(script, 2, "late"))

    shown = await asking
    assert ([line["message"] for line in shown["logs"]], shown["truncated"]) == (["early", "late"], False)


async def test_chunks_that_never_come_are_told_of(platform: Platform, manager: Running) -> None:
    script = Script()
    await platform.bus.publish_log(chunk(script, 1, "early"))
    await platform.say(script.finished(chunks=2))
    await manager.recorded(1)

    shown = await manager.call("GET", f"/executions/{script.execution_id}/logs")

    assert ([line["message"] for line in shown["logs"]], shown["truncated"]) == (["early"], True)


async def test_a_running_execution_shows_what_there_is(platform: Platform, manager: Running) -> None:
    script = Script()
    await platform.bus.publish_log(chunk(script, 1, "so far"))
    await platform.say(script.started())
    await manager.recorded(1)

    shown = await manager.call("GET", f"/executions/{script.execution_id}/logs")

    assert [line["message"] for line in shown["logs"]] == ["so far"]


async def test_live_ends_with_the_last_chunk_of_the_execution(platform: Platform, manager: Running) -> None:
    script = Script()
    await platform.say(script.started())
    await manager.recorded(1)
    request = manager.request("GET", f"/executions/{script.execution_id}/logs", headers=LIVE)

    async with asyncio.timeout(DEADLINE), request as answer:
        events = parse_events(answer.content)
        await platform.bus.publish_log(chunk(script, 1, "first"))
        seen = [await anext(events)]
        await platform.say(script.finished(chunks=2))
        await platform.bus.publish_log(chunk(script, 2, "last"))
        seen += [event async for event in events]

    assert words(seen) == ["first", "last"]
    assert [event.id for event in seen[:2]] == ["1-0", "2-0"]
    assert seen[-1].event == "end"


async def test_live_resumes_in_the_middle_of_a_chunk(platform: Platform, manager: Running) -> None:
    script = Script()
    chunks = [chunk(script, 1, "a", "b"), chunk(script, 2, "c", "d"), chunk(script, 3, "e")]
    await finished(platform, manager, script, *chunks)

    assert words(await read(manager, script)) == ["a", "b", "c", "d", "e"]
    assert words(await read(manager, script, **{"Last-Event-ID": "2-0"})) == ["d", "e"]
    assert words(await read(manager, script, **{"Last-Event-ID": "3-0"})) == []


async def test_one_that_wrote_nothing_has_an_empty_log(platform: Platform, manager: Running) -> None:
    script = Script()
    await finished(platform, manager, script)

    assert (await manager.call("GET", f"/executions/{script.execution_id}/logs"))["logs"] == []
    assert [event.event for event in await read(manager, script)] == ["end"]


async def test_unknown_executions_have_no_log(manager: Running) -> None:
    for headers in ({}, LIVE):
        path = f"/executions/{Script().execution_id}/logs"
        await manager.call("GET", path, expect=404, headers=headers)
