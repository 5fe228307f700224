"""An execution's output over HTTP: whole, as text, and live."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import orjson

from hodei.client.sse import ServerSentEvent, parse_events
from schemas.events import LogChunk, LogLine
from schemas.output import Extent, extent
from schemas.output import written as bytes_of
from schemas.rest.executions import LogLineView
from schemas.subjects import LOGS
from tests.fixtures.events import publish_log
from tests.integration.worker_manager.conftest import DEADLINE, Platform, Running
from tests.unit.worker_manager.events import NOON, Script
from worker_manager.agent.lines import LineSplitter

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
        await publish_log(platform.bus, one, script.worker_id)
    await platform.say(script.finished(chunks=len(chunks)))
    await manager.recorded(1)


async def test_a_finished_execution_shows_all_it_wrote(platform: Platform, manager: Running) -> None:
    script = Script()
    await finished(platform, manager, script, chunk(script, 1, "one", "two"), chunk(script, 2, "three"))

    shown = await manager.call("GET", f"/executions/{script.execution_id}/logs")

    assert shown["execution_id"] == script.execution_id
    assert [line["message"] for line in shown["logs"]] == ["one", "two", "three"]
    assert shown["logs"][0] == {
        "line": 1,
        "timestamp": "2026-11-24T12:00:01.000000Z",
        "stream": "stdout",
        "message": "one",
    }
    assert shown["truncated"] is False
    async with manager.request(
        "GET", f"/executions/{script.execution_id}/logs", headers={"Accept": "text/plain"}
    ) as answer:
        assert (answer.content_type, await answer.text()) == ("text/plain", "one\ntwo\nthree\n")


async def test_chunks_still_on_their_way_are_waited_for(platform: Platform, manager: Running) -> None:
    script = Script()
    await publish_log(platform.bus, chunk(script, 1, "early"), script.worker_id)
    await platform.say(script.finished(chunks=2))
    await manager.recorded(1)

    asking = asyncio.create_task(manager.call("GET", f"/executions/{script.execution_id}/logs"))
    await asyncio.wait([asking], timeout=0.1)
    await publish_log(platform.bus, chunk(script, 2, "late"), script.worker_id)

    shown = await asking
    assert ([line["message"] for line in shown["logs"]], shown["truncated"]) == (["early", "late"], False)


async def test_chunks_that_never_come_are_told_of(platform: Platform, manager: Running) -> None:
    script = Script()
    await publish_log(platform.bus, chunk(script, 1, "early"), script.worker_id)
    await platform.say(script.finished(chunks=2))
    await manager.recorded(1)

    shown = await manager.call("GET", f"/executions/{script.execution_id}/logs")

    [early, remark] = shown["logs"]
    assert (early["message"], remark["stream"], remark["remark"]) == ("early", "system", "unavailable")
    assert "the end of this output is not available" in remark["message"]
    assert (shown["truncated"], shown["expired"]) == (True, False)


async def test_a_running_execution_shows_what_there_is(platform: Platform, manager: Running) -> None:
    script = Script()
    await publish_log(platform.bus, chunk(script, 1, "so far"), script.worker_id)
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
        await publish_log(platform.bus, chunk(script, 1, "first"), script.worker_id)
        seen = [await anext(events)]
        await platform.say(script.finished(chunks=2))
        await publish_log(platform.bus, chunk(script, 2, "last"), script.worker_id)
        seen += [event async for event in events]

    assert words(seen) == ["first", "last"]
    assert seen[-1].event == "end"


async def test_live_resumes_in_the_middle_of_a_chunk(platform: Platform, manager: Running) -> None:
    script = Script()
    chunks = [chunk(script, 1, "a", "b"), chunk(script, 2, "c", "d"), chunk(script, 3, "e")]
    await finished(platform, manager, script, *chunks)

    seen = await read(manager, script)
    assert words(seen) == ["a", "b", "c", "d", "e"]
    for number, event in enumerate(seen[:-1], start=1):
        assert event.id is not None
        assert words(await read(manager, script, **{"Last-Event-ID": event.id})) == ["a", "b", "c", "d", "e"][number:]
    assert words(await read(manager, script, **{"Last-Event-ID": "what?"})) == ["a", "b", "c", "d", "e"]


async def text(manager: Running, script: Script) -> bytes:
    path = f"/executions/{script.execution_id}/logs"
    async with manager.request("GET", path, headers={"Accept": "text/plain"}) as answer:
        assert answer.status == 200
        return bytes(await answer.read())


async def test_text_is_the_very_bytes_whatever_they_are(platform: Platform, manager: Running) -> None:
    script = Script()
    written = [b"caf\xe9\0 \xff", b"\r\nprogress 10%\rprogress 20%", b"\n" + b"x" * 40_000, b"\nno end"]
    splitter = LineSplitter("stdout")
    chunks = []
    for seq, data in enumerate(written, start=1):
        lines = splitter.feed(data, NOON) + splitter.release(math.inf, NOON)
        chunks.append(LogChunk(execution_id=script.execution_id, seq=seq, lines=lines))
    await finished(platform, manager, script, *chunks)

    assert await text(manager, script) == b"".join(written)
    for lines in (
        (await manager.call("GET", f"/executions/{script.execution_id}/logs"))["logs"],
        [orjson.loads(event.data) for event in await read(manager, script) if event.event != "end"],
    ):
        assert b"".join(bytes_of(LogLineView.model_validate(line)) for line in lines) == b"".join(written)
        assert [line for line in lines if line.get("partial")]


async def test_a_remark_that_nothing_is_missing_at_is_not_in_the_text(platform: Platform, manager: Running) -> None:
    script = Script()
    one = chunk(script, 1, "head", "remark", "tail")
    lines = list(one.lines)
    lines[1] = lines[1].model_copy(update={"stream": "system", "remark": "held_back"})
    await finished(platform, manager, script, one.model_copy(update={"lines": lines}))

    assert await text(manager, script) == b"head\ntail\n"


async def test_what_was_left_out_is_told_on_a_line_of_its_own(platform: Platform, manager: Running) -> None:
    script = Script()
    one = chunk(script, 1, "head", "left out here", "tail")
    lines = list(one.lines)
    lines[0] = lines[0].model_copy(update={"partial": True})
    lines[1] = lines[1].model_copy(update={"stream": "system", "remark": "left_out"})
    await finished(platform, manager, script, one.model_copy(update={"lines": lines}))

    assert await text(manager, script) == b"head\nhodei: left out here\ntail\n"


async def purge(platform: Platform, **what: object) -> None:
    stream = platform.bus.catalogue.stream(LOGS)
    await platform.bus._connection.api(f"STREAM.PURGE.{stream}", what)


async def test_a_log_that_is_no_longer_kept_is_told_in_words(platform: Platform, manager: Running) -> None:
    script = Script()
    await finished(platform, manager, script, chunk(script, 1, "a"), chunk(script, 2, "b"))
    seen = await read(manager, script)
    await purge(platform)

    shown = await manager.call("GET", f"/executions/{script.execution_id}/logs")
    live = await read(manager, script)

    assert (shown["truncated"], shown["expired"]) == (True, True)
    assert [line["message"] for line in shown["logs"]] == ["the output of this execution is no longer kept"]
    assert await text(manager, script) == b"hodei: the output of this execution is no longer kept\n"
    assert words(live) == ["the output of this execution is no longer kept"]
    assert orjson.loads(live[-1].data)["expired"] is True
    for event in (seen[1], live[0]):  # who has seen everything, or been told, is told nothing more
        assert words(await read(manager, script, **{"Last-Event-ID": str(event.id)})) == []
    assert words(await read(manager, script, **{"Last-Event-ID": str(seen[0].id)})) == [
        "the rest of this output is no longer kept"
    ]


async def test_a_log_whose_beginning_is_no_longer_kept_says_how_much_is_missing(
    platform: Platform, manager: Running
) -> None:
    script = Script()
    await platform.say(script.started())
    await manager.recorded(1)
    for seq in range(1, 4):
        one = chunk(script, seq, f"line {seq}")
        await publish_log(
            platform.bus, one.model_copy(update={"offset": 7 * (seq - 1), "first_line": seq}), script.worker_id
        )
    await purge(platform, keep=1)

    running = await manager.call("GET", f"/executions/{script.execution_id}/logs")
    await platform.say(script.finished(chunks=3))
    await manager.recorded(2)

    words_for_it = "the beginning of this output is no longer kept (14 bytes, 2 lines)"
    for shown in (running, await manager.call("GET", f"/executions/{script.execution_id}/logs")):
        assert [line["message"] for line in shown["logs"]] == [words_for_it, "line 3"]
        assert (shown["truncated"], shown["expired"]) == (True, True)
        assert shown["logs"][0]["missing"] == {"bytes": 14, "lines": 2}
    live = await read(manager, script)
    assert words(live) == [words_for_it, "line 3"]
    assert words(await read(manager, script, **{"Last-Event-ID": str(live[0].id)})) == ["line 3"]


async def test_a_chunk_that_was_lost_on_its_way_leaves_a_remark(platform: Platform, manager: Running) -> None:
    script = Script()
    await publish_log(platform.bus, chunk(script, 1, "a"), script.worker_id)
    await publish_log(platform.bus, chunk(script, 3, "c"), script.worker_id)
    await platform.say(script.finished(chunks=3))
    await manager.recorded(1)

    shown = await manager.call("GET", f"/executions/{script.execution_id}/logs")

    assert [line["message"] for line in shown["logs"]] == ["a", "output was lost here before it reached the log", "c"]
    assert (shown["truncated"], shown["expired"]) == (True, False)


async def test_one_that_wrote_nothing_has_an_empty_log(platform: Platform, manager: Running) -> None:
    script = Script()
    await finished(platform, manager, script)

    assert (await manager.call("GET", f"/executions/{script.execution_id}/logs"))["logs"] == []
    assert [event.event for event in await read(manager, script)] == ["end"]


async def test_unknown_executions_have_no_log(manager: Running) -> None:
    for headers in ({}, LIVE):
        path = f"/executions/{Script().execution_id}/logs"
        await manager.call("GET", path, expect=404, headers=headers)


async def numbered(platform: Platform, manager: Running) -> Script:
    """A finished execution with six lines, of which the last is not complete."""
    script = Script()
    begin, chunks = Extent(), []
    for seq, texts in enumerate((("one", "two"), ("three", "four"), ("five", "six")), start=1):
        one = chunk(script, seq, *texts)
        if seq == 3:
            lines = [one.lines[0], one.lines[1].model_copy(update={"partial": True})]
            one = one.model_copy(update={"lines": lines})
        chunks.append(one.model_copy(update={"offset": begin.bytes, "first_line": begin.lines + 1}))
        begin = extent(one.lines, begin)
    await finished(platform, manager, script, *chunks)
    return script


def numbers(shown: Mapping[str, Any]) -> list[tuple[int, str]]:
    return [(line["line"], line["message"]) for line in shown["logs"]]


async def test_a_part_of_an_output_is_shown_by_the_numbers_of_lines(platform: Platform, manager: Running) -> None:
    script = await numbered(platform, manager)
    path = f"/executions/{script.execution_id}/logs"

    part = await manager.call("GET", f"{path}?from_line=2&limit=2")
    assert numbers(part) == [(2, "two"), (3, "three")]
    about = {name: part[name] for name in part if name not in ("logs", "execution_id")}
    assert about == {
        "first_line": 2,
        "next_line": 4,
        "lines": 6,
        "bytes": 27,
        "truncated": False,
        "expired": False,
        "running": False,
    }
    rest = await manager.call("GET", f"{path}?from_line=4")
    assert (numbers(rest), rest["next_line"]) == ([(4, "four"), (5, "five"), (6, "six")], None)
    assert numbers(await manager.call("GET", f"{path}?limit=1")) == [(1, "one")]
    assert numbers(await manager.call("GET", f"{path}?tail=2")) == [(5, "five"), (6, "six")]
    beyond = await manager.call("GET", f"{path}?from_line=7")
    assert (beyond["logs"], beyond["first_line"], beyond["next_line"], beyond["lines"]) == ([], None, None, 6)
    assert numbers(await manager.call("GET", path))[3:] == numbers(rest)


async def test_lines_that_contain_a_text_are_shown_with_their_numbers(platform: Platform, manager: Running) -> None:
    script = await numbered(platform, manager)
    path = f"/executions/{script.execution_id}/logs"

    assert numbers(await manager.call("GET", f"{path}?q=O")) == [(1, "one"), (2, "two"), (4, "four")]
    assert numbers(await manager.call("GET", f"{path}?q=O&case=match")) == []
    part = await manager.call("GET", f"{path}?q=o&from_line=2&limit=1")
    assert (numbers(part), part["next_line"]) == ([(2, "two")], 3)
    assert numbers(await manager.call("GET", f"{path}?stream=stderr&limit=1")) == []


async def test_a_part_is_also_text_and_a_file(platform: Platform, manager: Running) -> None:
    script = await numbered(platform, manager)
    path = f"/executions/{script.execution_id}/logs"

    async with manager.request("GET", f"{path}?tail=2", headers={"Accept": "text/plain"}) as answer:
        assert await answer.read() == b"five\nsix"
        assert "Content-Disposition" not in answer.headers
    async with manager.request("GET", f"{path}?download=true") as answer:
        assert await answer.read() == b"one\ntwo\nthree\nfour\nfive\nsix"
        assert answer.content_type == "text/plain"
        name = f"execution-{script.execution_id}.log"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'


async def test_a_query_that_makes_no_sense_is_refused_by_the_name_of_the_field(manager: Running) -> None:
    live = "does not apply to a live stream"
    for query, field, words, headers in (
        ("tail=3&from_line=1", "tail", "cannot be combined with from_line", {}),
        ("tail=3&q=x&stream=stderr", "tail", "cannot be combined with q, stream", {}),
        ("case=match", "case", "is about q, which is missing", {}),
        ("limit=5001", "limit", "5000", {}),
        ("from_line=0", "from_line", "1", {}),
        ("tail=many", "tail", "should be a whole number", {}),
        ("q=", "q", "must not be empty", {}),
        ("step=build", "step", "unknown", {}),
        ("limit=3", "limit", live, LIVE),
        ("q=x", "q", live, LIVE),
        ("stream=stdout", "stream", live, LIVE),
        ("download=true", "download", live, LIVE),
    ):
        path = f"/executions/{Script().execution_id}/logs?{query}"
        problem = await manager.call("GET", path, expect=422, headers=headers)
        [error] = problem["errors"]
        assert error["loc"] == ["query", field]
        assert words in error["msg"]


async def test_a_live_stream_begins_where_it_should(platform: Platform, manager: Running) -> None:
    script = await numbered(platform, manager)
    path = f"/executions/{script.execution_id}/logs"

    async def lines(query: str, **headers: str) -> list[tuple[int, str]]:
        async with manager.request("GET", f"{path}?{query}", headers={**LIVE, **headers}) as answer:
            events = [event async for event in parse_events(answer.content)]
        assert events.pop().event == "end"
        return numbers({"logs": [orjson.loads(event.data) for event in events]})

    assert await lines("from_line=5") == [(5, "five"), (6, "six")]
    assert await lines("from_line=99") == []
    assert await lines("tail=3") == [(4, "four"), (5, "five"), (6, "six")]
    assert await lines("tail=0") == []
    first = (await read(manager, script))[0]
    assert (await lines("tail=1", **{"Last-Event-ID": str(first.id)}))[0] == (2, "two"), "it resumes where it was"


async def position(manager: Running, script: Script, query: str) -> str:
    """The id that a stream has sent before it breaks, and before any line."""
    request = manager.request("GET", f"/executions/{script.execution_id}/logs?{query}", headers=LIVE)
    async with asyncio.timeout(DEADLINE), request as answer:
        event = await answer.content.readuntil(b"\n\n")
    assert b"data" not in event
    return event.decode().removeprefix("id: ").strip()


async def test_a_stream_that_breaks_before_its_first_line_resumes_where_it_began(
    platform: Platform, manager: Running
) -> None:
    script = Script()
    await platform.say(script.started())
    await manager.recorded(1)

    async def resumed(at: str, query: str) -> ServerSentEvent:
        headers = {**LIVE, "Last-Event-ID": at}
        request = manager.request("GET", f"/executions/{script.execution_id}/logs?{query}", headers=headers)
        async with asyncio.timeout(DEADLINE), request as answer:
            return await anext(parse_events(answer.content))

    for query in ("tail=0", "tail=1", "since=2030-01-01T00:00:00Z"):
        assert await position(manager, script, query) == "1", query
    await publish_log(platform.bus, chunk(script, 1, "one", "two"), script.worker_id)
    assert words([await resumed("1", "tail=1")]) == ["one"]
    at = await position(manager, script, "tail=0")
    await publish_log(platform.bus, chunk(script, 2, "in the gap"), script.worker_id)
    assert words([await resumed(at, "tail=0")]) == ["in the gap"]


async def test_a_stream_tells_its_position_before_the_execution_has_a_worker(
    platform: Platform, manager: Running
) -> None:
    made = await manager.call("POST", "/execute", json={"command": "true"}, expect=201)
    request = manager.request("GET", f"/executions/{made['id']}/logs?tail=0", headers=LIVE)
    async with asyncio.timeout(DEADLINE), request as answer:
        assert await answer.content.readuntil(b"\n\n") == b"id: 1\n\n"


async def test_the_output_so_far_is_a_stream_that_ends(platform: Platform, manager: Running) -> None:
    script = Script()
    await publish_log(platform.bus, chunk(script, 1, "one", "two"), script.worker_id)
    await platform.say(script.started())
    await manager.recorded(1)
    path = f"/executions/{script.execution_id}/logs"

    async def so_far(**headers: str) -> list[ServerSentEvent]:
        async with manager.request("GET", f"{path}?follow=false", headers={**LIVE, **headers}) as answer:
            return [event async for event in parse_events(answer.content)]

    async with asyncio.timeout(DEADLINE):
        first, second, end = await so_far()
        assert (words([first, second]), end.event) == (["one", "two"], "end")
        assert words(await so_far(**{"Last-Event-ID": str(first.id)})) == ["two"]
        problem = await manager.call("GET", f"{path}?follow=false&tail=1", expect=422, headers=LIVE)
    assert problem["errors"][0]["loc"] == ["query", "tail"]
