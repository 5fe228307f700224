"""`hodei logs -f --grep` finds what the pieces of a line have only together, as a search by the orchestrator does."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from hodei.logs import _matching
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


async def stream() -> AsyncIterator[JobLogLine]:
    for execution, name, message, partial in PIECES:
        yield JobLogLine(
            timestamp=datetime(2026, 11, 29, tzinfo=UTC),
            stream=name,  # type: ignore[arg-type]  # one of its literals
            message=message,
            partial=partial,
            task="main",
            attempt=1,
            execution_id=execution,
        )


@pytest.mark.parametrize(("text", "found"), [("password", ["rd: found"]), ("w", [1, 2, 3, 5]), ("", range(6))])
async def test_a_text_in_two_pieces_is_found(text: str, found: list[int | str]) -> None:
    wanted = [PIECES[one][2] if isinstance(one, int) else one for one in found]
    assert [line.message async for line in _matching(stream(), text, None)] == [*wanted, "a remark"]
