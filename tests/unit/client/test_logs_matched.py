"""`hodei logs -f --grep` finds whole lines, whatever their pieces, as a search by the orchestrator does."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from hodei.matching import matching
from schemas.rest.jobs import JobLogLine

PIECES = [
    ("a", "stdout", "pass", True),
    ("b", "stdout", "word of another", False),
    ("a", "stderr", "word elsewhere", False),
    ("a", "stdout", "wo", True),
    ("a", "stdout", "rd: found", False),
    ("a", "stdout", "word of the next line", False),
    ("a", "system", "a remark", False),
]


async def stream(pieces: list[tuple[str, str, str, bool]]) -> AsyncIterator[JobLogLine]:
    for execution, name, message, partial in pieces:
        yield JobLogLine(
            timestamp=datetime(2026, 11, 29, tzinfo=UTC),
            stream=name,  # type: ignore[arg-type]  # one of its literals
            message=message,
            partial=partial,
            task="main",
            attempt=1,
            execution_id=execution,
        )


@pytest.mark.parametrize(
    ("text", "found"), [("password", [0, 3, 4]), ("pass", [0, 3, 4]), ("w", [1, 2, 0, 3, 4, 5]), ("", range(6))]
)
async def test_a_line_is_found_with_all_its_pieces(text: str, found: list[int]) -> None:
    wanted = [PIECES[one][2] for one in found]
    assert [line.message async for line in matching(stream(PIECES), text, None)] == [*wanted, "a remark"]


async def test_a_match_far_on_in_a_line_is_shown_with_a_bounded_part_of_what_precedes_it() -> None:
    long = [("a", "stdout", f"{number:05}" * 1000, True) for number in range(100)]
    shown = [line async for line in matching(stream([*long, ("a", "stdout", "found", False)]), "found", None)]
    assert (shown[0].stream, shown[0].remark, shown[0].partial) == ("system", "shortened", None)
    assert shown[-1].message == "found"
    before = "".join(line.message for line in shown[1:-1])
    assert "".join(message for _, _, message, _ in long).endswith(before)
    assert 50_000 < len(before) < 64 << 10
