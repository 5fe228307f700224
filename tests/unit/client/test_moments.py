"""How the command line reads times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import typer

from hodei.usage import moment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-01T09:00:00Z", datetime(2026, 11, 1, 9, tzinfo=UTC)),
        ("2026-11-01T09:00:00+02:00", datetime(2026, 11, 1, 7, tzinfo=UTC)),
        ("2026-11-01", datetime(2026, 11, 1).astimezone(UTC)),  # midnight, here
    ],
)
def test_a_time_is_read(text: str, expected: datetime) -> None:
    assert moment(text) == expected


def test_a_time_may_be_an_age() -> None:
    before = datetime.now(UTC)
    assert before <= moment("12h") + timedelta(hours=12) <= datetime.now(UTC)


@pytest.mark.parametrize(
    "text", ["", "noon", "12", "12 h", "-3h", "999999d", "2026-13-01", "0001-01-01T00:00:00+14:00"]
)
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="as in 2026-11-01T09:00:00Z, or how long ago it was, as in 12h"):
        moment(text)
