"""`hodei logs --tail` with a search shows the last lines as a whole, whatever pieces they were written in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime

import pytest

from hodei import last_lines as module
from hodei.last_lines import last_lines
from schemas.rest.jobs import JobLogLine

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
EXECUTION = "first"


def piece(number: int, message: str, stream: str = "stdout", **members: object) -> JobLogLine:
    """An entry that ends a line, unless its message ends with `~`, which stands for the pieces that follow."""
    of = {"task": "main", "attempt": 1, "execution_id": EXECUTION, "line": number, "timestamp": NOON, "stream": stream}
    partial = message.endswith("~") or None
    return JobLogLine.model_validate({**of, "message": message.removesuffix("~"), "partial": partial} | members)


async def last(entries: Iterable[JobLogLine], count: int) -> list[str]:
    async def each() -> AsyncIterator[JobLogLine]:
        for entry in entries:
            yield entry

    return [line.message + "~" * bool(line.partial) async for line in last_lines(each(), count)]


def cut(number: int) -> JobLogLine:
    return piece(number, "the rest of this line is not shown here", "system", remark="shortened")


THREE = [piece(1, "a~"), piece(1, "b~"), piece(1, "c"), piece(2, "d"), piece(3, "e~"), piece(3, "f")]


@pytest.mark.parametrize(("count", "first"), [(0, 6), (1, 4), (2, 3), (3, 0), (9, 0)])
async def test_pieces_of_a_line_count_as_one_line(count: int, first: int) -> None:
    assert await last(THREE, count) == [line.message + "~" * bool(line.partial) for line in THREE][first:]


async def test_a_line_that_another_stream_interrupts_is_one_line() -> None:
    entries = [piece(1, "a~"), piece(1, "x", "stderr"), piece(2, "b~"), piece(2, "y", "stderr"), piece(3, "c")]
    assert await last(entries, 1) == ["a~", "b~", "c"]
    assert await last(entries, 2) == ["y", "a~", "b~", "c"]


async def test_the_unfinished_line_of_a_step_is_not_continued_by_the_next_one() -> None:
    assert await last([piece(1, "a"), piece(2, "b~"), piece(1, "c", execution_id="second")], 2) == ["b~", "c"]
    assert await last([piece(1, "a"), piece(2, "b~"), piece(2, "c~")], 1) == ["b~", "c~"]


async def test_remarks_stay_with_their_lines() -> None:
    gap = piece(2, "left out", "system", remark="left_out")
    assert await last([piece(1, "a"), gap, piece(2, "b"), piece(3, "c")], 2) == ["left out", "b", "c"]
    assert await last([piece(1, "a"), gap, piece(2, "b"), piece(3, "c")], 1) == ["c"]
    assert await last([piece(1, "a"), gap], 1) == ["a", "left out"]
    assert await last([piece(1, "a"), gap], 0) == []
    assert await last([piece(1, "z"), piece(2, "a~"), gap, piece(2, "b")], 1) == ["a~", "left out", "b"]


async def test_a_line_whose_rest_is_not_shown_is_not_continued_by_the_next_one() -> None:
    assert await last([piece(1, "a~"), cut(1), piece(2, "b")], 1) == ["b"]
    assert await last([piece(1, "a~"), cut(1), piece(2, "b")], 2) == ["a~", cut(1).message, "b"]


@pytest.mark.parametrize("end", ["end~", "end"])
async def test_a_line_for_which_there_is_no_room_is_shown_from_where_there_is(
    monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 20 * module.COST)
    pieces = [piece(2, f"{number}~") for number in range(1000)]
    shown = await last([piece(1, "a"), *pieces, piece(2, end)], 1)
    assert shown[0] == "the beginning of this line is not shown here"
    assert shown[1:-1] == [f"{number}~" for number in range(1000)][-len(shown[1:-1]) :]
    assert (shown[-1], 5 < len(shown) < 20) == (end, True)


async def test_there_are_fewer_lines_if_there_is_no_room_and_a_remark_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 1 << 20)
    lines = [piece(number, str(number) * (1 << 16)) for number in range(100, 200)]
    shown = await last(lines, 50)
    assert shown[0] == f"of the last 50 lines, only {len(shown) - 1} fit into 1 MiB"
    assert shown[1:] == [line.message for line in lines][-len(shown) + 1 :]
    assert len(await last([*lines, *(piece(200 + number, "short") for number in range(5))], 5)) == 5
