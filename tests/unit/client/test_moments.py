"""How the command line reads times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import typer

from hodei.usage import moment, moment_to_come, seconds


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


@pytest.mark.parametrize("text", ["", "noon", "12", "12 h", "-3h", "2026-13-01"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="as in 2026-11-01T09:00:00Z, or how long ago it was, as in 12h"):
        moment(text)


@pytest.mark.parametrize("text", ["999999d", "9999999d", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_is_too_far_away_is_called_so(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is too far away"):
        moment(text)


def test_a_time_to_come_may_be_a_length_of_time() -> None:
    before = datetime.now(UTC)
    assert before <= moment_to_come("12h") - timedelta(hours=12) <= datetime.now(UTC)
    assert moment_to_come("2026-12-01T09:00:00Z") == datetime(2026, 12, 1, 9, tzinfo=UTC)
    with pytest.raises(typer.BadParameter, match="or in how long it will be, as in 12h"):
        moment_to_come("noon")


@pytest.mark.parametrize(("text", "length"), [("90", 90), ("1.5", 1.5), ("90s", 90), ("15m", 900), ("1d", 86_400)])
def test_a_length_of_time_is_in_seconds(text: str, length: float) -> None:
    assert seconds(text) == length


@pytest.mark.parametrize("text", ["", "-1", "1e3", "inf", "1h30m", "5 m"])
def test_another_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="as in 90s or 12h"):
        seconds(text)
