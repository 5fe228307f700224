"""Parts of logs: the same lines under the same numbers, however they are asked for."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from schemas.cloudevents import encode_batch, source_of, wrap
from schemas.events import LogChunk, LogGap, LogLine
from schemas.output import Extent, extent, line_ends, written
from schemas.subjects import LOGS
from shared import excerpts as module
from shared.bus import Bus, Mark
from shared.containing import Containing
from shared.excerpts import Excerpt, Excerpts
from shared.telemetry import Metrics
from shared.transcript import FAR, Entries, Entry, Log, Place, Transcript, Visit
from tests.fixtures.events import WORKER, publish_log

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


def line(message: str, stream: str = "stdout", **members: object) -> LogLine:
    return LogLine.model_validate({"timestamp": NOON, "stream": stream, "message": message} | members)


def chunked(execution_id: str, *parts: Sequence[LogLine]) -> list[LogChunk]:
    """Chunks with these entries, numbered as the agent numbers them."""
    chunks, begin = [], Extent()
    for seq, lines in enumerate(parts, start=1):
        chunks.append(
            LogChunk(
                execution_id=execution_id, seq=seq, lines=list(lines), offset=begin.bytes, first_line=begin.lines + 1
            )
        )
        begin = extent(lines, begin)
    return chunks


def output(seed: int, chunks: int) -> list[list[LogLine]]:
    """Two streams that interrupt each other in the middle of lines, with remarks, and with output left out."""
    choice = random.Random(seed)
    parts = []
    for _ in range(chunks):
        lines = []
        for _ in range(choice.randint(1, 9)):
            kind = choice.random()
            if kind < 0.03:
                lines.append(line("about something", "system", remark="held_back"))
            elif kind < 0.05:
                missing = LogGap(bytes=choice.randint(1, 99), lines=choice.randint(0, 9))
                lines.append(line("left out", "system", remark="left_out", missing=missing))
            else:
                members = {"partial": True} if kind < 0.3 else {"crlf": True} if kind < 0.4 else {}
                stream = choice.choice(["stdout", "stdout", "stderr"])
                lines.append(line(choice.choice("abcdefgh") * choice.randint(0, 4), stream, **members))
        parts.append(lines)
    return parts


async def store(bus: Bus, chunks: Iterable[LogChunk], *, earlier_version: bool = False) -> None:
    for one in chunks:
        if not earlier_version:
            await publish_log(bus, one)
            continue
        one = one.model_copy(update={"offset": None, "first_line": None})
        event = wrap(one, id=f"{one.seq}", source=source_of(WORKER), time=NOON)
        subject = f"{bus.catalogue.namespace}.logs.{one.execution_id}"
        await bus.publish(subject, encode_batch([event]), msg_id=f"{one.execution_id}-{one.seq}")


async def whole(bus: Bus, log: Log) -> Entries:
    return [entry async for part in Transcript(bus, log, visit=Visit()).parts() for entry in part]


def shown(excerpt: Excerpt) -> list[tuple[int | None, str, str]]:
    return [(entry.number, entry.line.stream, entry.line.message) for entry in excerpt.entries]


def as_shown(entries: Iterable[Entry]) -> list[tuple[int | None, str, str]]:
    return [(one.number, one.line.stream, one.line.message) for one in entries]


@pytest.fixture
def execution_id() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def excerpts(bus: Bus) -> Excerpts:
    return Excerpts(bus)


@pytest.mark.parametrize("count", [1, 5])
async def test_the_last_lines_of_a_log_without_lines_are_none(
    excerpts: Excerpts, execution_id: str, count: int
) -> None:
    found = await excerpts.tail(Log(execution_id, WORKER, chunks=0), count)
    assert shown(found) == []


@pytest.mark.parametrize("earlier_version", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
async def test_lines_have_one_number_however_they_are_asked_for(
    bus: Bus, execution_id: str, excerpts: Excerpts, seed: int, earlier_version: bool
) -> None:
    chunks = chunked(execution_id, *output(seed, 60))
    await store(bus, chunks, earlier_version=earlier_version)
    log = Log(execution_id, WORKER, len(chunks))
    entries = await whole(bus, log)

    text, missing = b"", 0
    for entry in entries:  # the number of a line is that in the text, if what is missing were there
        assert entry.number == text.count(b"\n") + missing + 1
        if entry.line.stream != "system":
            text += written(entry.line)
        elif entry.line.missing is not None:
            missing += entry.line.missing.lines
    last = max(entry.number or 0 for entry in entries if entry.line.stream != "system")

    for limit in (1, 7, 5000):
        collected, following = [], 1
        while following:
            page = await excerpts.lines(log, following, limit)
            assert len({entry.number for entry in page.entries}) <= limit
            assert page.first_line == page.entries[0].number
            collected += as_shown(page.entries)
            following = page.next_line or 0
        assert collected == as_shown(entries)

    for number in range(1, last + 1, 5):
        found = await excerpts.lines(log, number, 3)
        covered = [
            one
            for one in entries
            if (one.number or 0) + (one.line.missing.lines if one.line.missing else 0) > number
            or (one.number or 0) >= number
        ]
        assert shown(found) == as_shown(covered)[: len(found.entries)]
        assert found.entries
        assert (found.lines, found.bytes) == ((None, None) if earlier_version else (last, len(text) + gaps(entries)))
        tail = await excerpts.tail(log, last - number + 1)
        assert shown(tail) == as_shown(covered)
        assert tail.next_line is None

    matches = Containing("b", ignore_case=True, stream="stdout")
    found = await excerpts.search(log, 1, 5000, matches)
    lines: list[Entries] = [[]]
    for entry in entries:
        if entry.line.stream == "stdout":
            lines[-1].append(entry)
            lines += [] if entry.line.partial else [[]]
    wanted = [one for one in lines if any("b" in entry.line.message for entry in one)]
    assert shown(found) == as_shown(entry for one in wanted for entry in one)


def covers(entry: Entry, number: int) -> bool:
    return entry.number is not None and entry.number + line_ends(entry.line) > number


def gaps(entries: Entries) -> int:
    return sum(entry.line.missing.bytes for entry in entries if entry.line.missing)


async def numbered(bus: Bus, execution_id: str, chunks: int, lines: int = 1) -> Log:
    """A log of this many chunks, each with so many lines of ten bytes."""
    made = chunked(execution_id, *([line(f"{seq:05}.{at:03}") for at in range(lines)] for seq in range(chunks)))
    await store(bus, made)
    return Log(execution_id, WORKER, chunks)


async def test_a_line_is_found_without_reading_what_precedes_it(
    bus: Bus, execution_id: str, excerpts: Excerpts, metrics: Metrics
) -> None:
    log = await numbered(bus, execution_id, 300, lines=3)
    await numbered(bus, str(uuid.uuid4()), 50)
    index = await bus.log_index(execution_id, WORKER)
    assert index is not None
    looked = []

    def precedes(mark: Mark) -> bool:
        looked.append(mark.seq)
        return mark.seq < 200

    assert (await index.last_that(precedes)).seq == 199
    assert len(looked) <= 11
    page = await excerpts.lines(log, 601, 2)
    assert shown(page) == [(601, "stdout", "00200.000"), (602, "stdout", "00200.001")]
    assert (page.next_line, page.lines, page.bytes) == (603, 900, 9000)


async def test_a_chunk_that_was_stored_again_later_hides_nothing(
    bus: Bus, execution_id: str, excerpts: Excerpts
) -> None:
    chunks = chunked(execution_id, *([line(f"{seq}")] for seq in range(9)))
    subject = bus.catalogue.logs(execution_id, WORKER)
    for turn, one in enumerate([*chunks[:5], *chunks[3:6], *chunks[4:]]):
        event = wrap(one, id=f"{turn}", source=source_of(WORKER), time=NOON)
        await bus.publish(subject, encode_batch([event]), msg_id=f"{turn}")
    for number in range(1, 10):
        page = await excerpts.lines(Log(execution_id, WORKER, 9), number, 100)
        assert [message for _, _, message in shown(page)] == [str(seq) for seq in range(number - 1, 9)]
        assert not page.truncated


async def test_chunks_of_another_worker_are_no_part_of_it(bus: Bus, execution_id: str, excerpts: Excerpts) -> None:
    for one in chunked(execution_id, *([line(f"forged {seq}")] for seq in range(9))):
        await publish_log(bus, one, str(uuid.uuid4()))
    log = await numbered(bus, execution_id, 3)
    for part in (await excerpts.lines(log, 1, 9), await excerpts.tail(log, 9)):
        assert [number for number, _, _ in shown(part)] == [1, 2, 3]
    matches = Containing("forged", ignore_case=False, stream=None)
    assert not (await excerpts.search(log, 1, 9, matches)).entries
    assert not (await excerpts.lines(Log(execution_id, None, None), 1, 9)).entries, "it is not placed"


async def test_what_is_no_longer_kept_is_a_remark_where_it_was(bus: Bus, execution_id: str, excerpts: Excerpts) -> None:
    log = await numbered(bus, execution_id, 10)
    stream = bus.catalogue.stream(LOGS)
    await bus._connection.api(f"STREAM.PURGE.{stream}", {"filter": bus.catalogue.logs(execution_id, WORKER), "keep": 4})
    words = "the beginning of this output is no longer kept (60 bytes, 6 lines)"
    for part in (await excerpts.lines(log, 1, 2), await excerpts.lines(log, 6, 2), await excerpts.tail(log, 5)):
        assert shown(part)[:2] == [(1, "system", words), (7, "stdout", "00006.000")]
        assert (part.expired, part.truncated, part.lines) == (True, True, 10)
    late = await excerpts.lines(log, 9, 2)
    assert [number for number, _, _ in shown(late)] == [9, 10]
    assert late.expired, "of the whole output, something is no longer kept"


async def test_a_line_longer_than_an_excerpt_is_shortened(
    bus: Bus, execution_id: str, excerpts: Excerpts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 2000)
    pieces = [[line("x" * 100, partial=True)] for _ in range(20)]
    log = Log(execution_id, WORKER, 22)
    await store(bus, chunked(execution_id, [line("first")], *pieces, [line("end"), line("last")]))

    page = await excerpts.lines(log, 1, 9)
    assert ([number for number, _, _ in shown(page)], page.next_line) == ([1], 2), "a line is not cut if others fit"
    page = await excerpts.lines(log, 2, 9)
    assert {number for number, _, _ in shown(page)} == {2}
    assert shown(page)[-1][2] == "the rest of this line is not shown here"
    assert page.next_line == 3
    assert shown(await excerpts.lines(log, 3, 9)) == [(3, "stdout", "last")]
    assert shown(await excerpts.tail(log, 3)) == [(3, "stdout", "last")]

    growing = str(uuid.uuid4())
    await store(bus, chunked(growing, [line("first")], *pieces))
    tail = await excerpts.tail(Log(growing, WORKER, None, over=False), 3)
    assert shown(tail)[0] == (2, "system", "the beginning of this line is not shown here")
    assert {number for number, _, _ in shown(tail)} == {2}
    assert (tail.lines, tail.truncated) == (2, False)


async def test_a_search_goes_on_where_the_last_one_ended(
    bus: Bus, execution_id: str, excerpts: Excerpts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_SEARCHED", 3 * module.CHUNK_COST)
    log = await numbered(bus, execution_id, 12, lines=2)
    found, following, turns = [], 1, 0
    while following:
        page = await excerpts.search(log, following, 1, Containing("7.001", ignore_case=False, stream=None))
        found += shown(page)
        following, turns = page.next_line or 0, turns + 1
    assert found == [(16, "stdout", "00007.001")]
    assert turns > 4, "each turn reads three chunks"


async def test_a_search_among_what_cannot_be_read_is_bounded(
    bus: Bus, execution_id: str, excerpts: Excerpts, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_, last = chunked(execution_id, *([line(f"{seq}")] for seq in range(40)))
    subject = bus.catalogue.logs(execution_id, WORKER)
    await publish_log(bus, first)
    for number in range(40):
        await bus.publish(subject, b"not a chunk", msg_id=f"junk-{number}")
    await publish_log(bus, last)
    log, wanted = Log(execution_id, WORKER, 40), Containing("39", ignore_case=False, stream=None)
    assert shown(await excerpts.search(log, 1, 9, wanted)) == [(40, "stdout", "39")]

    monkeypatch.setattr(module, "MOST_SEARCHED", 3 * module.CHUNK_COST)
    part = await excerpts.search(log, 1, 9, wanted)
    assert (part.entries, part.next_line, part.truncated) == ([], None, True)


async def test_a_search_within_one_long_line_is_bounded(
    bus: Bus, execution_id: str, excerpts: Excerpts, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [[line(f"piece {number}, ", partial=True)] for number in range(40)]
    await store(bus, chunked(execution_id, [line("first")], *pieces, [line("piece, the end")], [line("piece, last")]))
    log, piece = Log(execution_id, WORKER, 43), Containing("piece 3,", ignore_case=False, stream=None)
    whole = await excerpts.search(log, 2, 9, piece)
    assert [message for _, _, message in shown(whole)] == [*(one.message for [one] in pieces), "piece, the end"]
    assert whole.next_line is None

    monkeypatch.setattr(module, "MOST_SEARCHED", 3 * module.CHUNK_COST)
    monkeypatch.setattr(module, "MOST_BEYOND", 5 * module.CHUNK_COST)
    part = await excerpts.search(log, 2, 9, Containing("piece 3", ignore_case=False, stream=None))
    assert [message for _, _, message in shown(part)][:4] == [one.message for [one] in pieces[:4]]
    assert shown(part)[-1] == (2, "system", "the rest of this line was not searched")
    assert part.next_line == 3
    rest = await excerpts.search(log, 3, 9, Containing("piece", ignore_case=False, stream=None))
    assert shown(rest) == [(3, "stdout", "piece, last")], "it begins with the end of the long line"


async def test_a_search_finds_what_two_pieces_have_together(bus: Bus, execution_id: str, excerpts: Excerpts) -> None:
    parts = [line("Pass", partial=True), line("WORD", "stderr", partial=True)], [line("wo", partial=True), line("rd: ")]
    await store(bus, chunked(execution_id, *parts))
    log = Log(execution_id, WORKER, 2)
    for text, ignore_case, messages in (
        ("PASSWORD", True, ["Pass", "wo", "rd: "]),
        ("password", False, []),
        ("\u212a: ", True, []),
        ("PassWORD", False, []),
        ("ssword", False, ["Pass", "wo", "rd: "]),
        ("s", False, ["Pass", "wo", "rd: "]),
    ):
        found = await excerpts.search(log, 1, 9, Containing(text, ignore_case=ignore_case, stream=None))
        assert [message for _, _, message in shown(found)] == messages, text


async def test_a_line_that_is_found_has_all_its_pieces(bus: Bus, execution_id: str, excerpts: Excerpts) -> None:
    parts: list[list[LogLine]] = []
    for name in "abc":
        parts += [[line(f"Downloading {name} ...", partial=True)], [line(" ERROR 404")], [line("between")]]
    await store(bus, chunked(execution_id, *parts))
    log = Log(execution_id, WORKER, len(parts))
    for text in ("Downloading", "ERROR", "... ERR", "D"):
        found, following = "", 1
        while following:  # a page at a time
            page = await excerpts.search(log, following, 2, Containing(text, ignore_case=False, stream=None))
            found += "".join(written(entry.line).decode() for entry in page.entries)
            following = page.next_line or 0
        assert found == "".join(f"Downloading {name} ... ERROR 404\n" for name in "abc"), text


async def test_a_search_that_ends_within_a_line_says_so(
    bus: Bus, execution_id: str, excerpts: Excerpts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part ends with a line of the text, in which the other stream may have begun one."""
    other = [line("x", "stderr"), line("y", "stderr")]
    await store(bus, chunked(execution_id, [line("found ", partial=True)], other, [line("here")], [line("found")]))
    log, cut = Log(execution_id, WORKER, 4), (1, "system", "the rest of this line is not shown here")
    containing = Containing("found", ignore_case=False, stream=None)
    page = await excerpts.search(log, 1, 1, containing)
    assert (shown(page), page.next_line) == ([(1, "stdout", "found "), cut], 2)
    page = await excerpts.search(log, 1, 9, Containing("found", ignore_case=False, stream=None))
    assert shown(page) == [(1, "stdout", "found "), (3, "stdout", "here"), (4, "stdout", "found")]

    monkeypatch.setattr(module, "MOST_SEARCHED", module.CHUNK_COST)
    page = await excerpts.search(log, 1, 9, Containing("found", ignore_case=False, stream=None))
    assert page.next_line == 3
    assert shown(page) == [(1, "stdout", "found "), cut]


async def test_of_a_long_line_a_search_shows_a_bounded_part_before_what_it_found(
    bus: Bus, execution_id: str, excerpts: Excerpts
) -> None:
    pieces = [[line(f"{number:05}" * 1000, partial=True)] for number in range(40)]
    await store(bus, chunked(execution_id, *pieces, [line("found")], [line("next")]))
    log = Log(execution_id, WORKER, 42)
    found = shown(await excerpts.search(log, 1, 9, Containing("found", ignore_case=False, stream=None)))
    assert found[0] == (1, "system", "the beginning of this line is not shown here")
    assert found[-1] == (1, "stdout", "found")
    before = "".join(message for _, _, message in found[1:-1])
    assert "".join(one.message for [one] in pieces).endswith(before)
    assert 50_000 < len(before) < 64 << 10


async def test_the_last_lines_of_several_logs_are_those_of_the_last_ones(bus: Bus, excerpts: Excerpts) -> None:
    logs = [await numbered(bus, str(uuid.uuid4()), count) for count in (5, 2, 3)]
    none, *tails = await excerpts.tails(logs, 4)
    assert none is None
    assert [[number for number, _, _ in shown(tail)] for tail in tails if tail] == [[2], [1, 2, 3]]


async def test_a_viewer_that_resumes_far_on_has_the_same_numbers(bus: Bus, execution_id: str) -> None:
    log = await numbered(bus, execution_id, 2 * FAR)
    place = Place(FAR + 5)
    transcript = Transcript(bus, log, visit=Visit(), place=place)
    entries = [entry async for part in transcript.parts() for entry in part]
    assert [entry.number for entry in entries] == list(range(FAR + 5, 2 * FAR + 1))
    assert not transcript.missing


async def test_a_search_takes_what_json_escapes_and_letters_outside_of_ascii_for_what_they_are(
    bus: Bus, execution_id: str, excerpts: Excerpts
) -> None:
    texts = ['say "no"', "C:\\temp", "a/b", "caf\u00c9 \u212aELVIN", "tab\there", "\x1b[31mred"]
    await store(bus, chunked(execution_id, *([line(text)] for text in texts)))
    log = Log(execution_id, WORKER, len(texts))
    for text, number in (
        ('"NO"', 1),
        (":\\T", 2),
        ("A/B", 3),
        ("caf\u00e9", 4),
        ("kelvin", 4),
        ("\th", 5),
        ("\x1b[31", 6),
    ):
        found = await excerpts.search(log, 1, 9, Containing(text, ignore_case=True, stream="stdout"))
        assert [at for at, _, _ in shown(found)] == [number], text


async def test_a_line_is_found_by_the_time_at_which_it_was_written(
    bus: Bus, execution_id: str, excerpts: Excerpts
) -> None:
    def minute(number: int) -> datetime:
        return NOON + timedelta(minutes=number)

    parts = [[line("x", timestamp=minute(2 * part)), line("y", timestamp=minute(2 * part + 1))] for part in range(9)]
    earlier = str(uuid.uuid4())
    await store(bus, chunked(execution_id, *parts))
    await store(bus, chunked(earlier, *parts), earlier_version=True)
    for log in (Log(execution_id, WORKER, 9), Log(earlier, WORKER, 9)):
        for number in range(18):
            assert await excerpts.line_since(log, minute(number)) == number + 1
        assert await excerpts.line_since(log, minute(-5)) == 1
        assert await excerpts.line_since(log, minute(99)) == 19


async def test_a_worker_that_states_wrong_places_keeps_no_viewer_busy_for_ever(
    bus: Bus, execution_id: str, excerpts: Excerpts
) -> None:
    chunks = chunked(execution_id, *([line("one")] for _ in range(4)))
    places = zip(chunks, (1, 50, 3, 60), strict=True)
    await store(bus, [one.model_copy(update={"first_line": place}) for one, place in places])
    log = Log(execution_id, WORKER, 4)
    containing = Containing("one", ignore_case=True, stream=None)
    for part in (await excerpts.lines(log, 50, 1), await excerpts.search(log, 50, 1, containing)):
        assert [number for number, _, _ in shown(part)] == [50]
        assert part.next_line == 60, "not 3: the next part would be the same again"
    assert len((await excerpts.tail(log, 5000)).entries) == 4
