"""Lengths of time, as they are written."""

from __future__ import annotations

from datetime import timedelta

import pytest

from schemas.durations import duration_in_words, read_duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("90d", timedelta(days=90)),
        ("0d", timedelta(0)),
        *((text, None) for text in ("", "90", "d", "1.5h", "-1d", "1 d", "1D", "1d2h", "9999999d", "١d", "1d\n")),
    ],
)
def test_a_duration_is_a_whole_number_and_a_unit(text: str, duration: timedelta | None) -> None:
    assert read_duration(text) == duration


@pytest.mark.parametrize("text", ["90s", "30m", "12h", "90d"])
def test_a_duration_is_written_as_it_is_read(text: str) -> None:
    duration = read_duration(text)
    assert duration is not None
    assert duration_in_words(duration) == text


def test_a_duration_of_no_whole_unit_is_written_in_seconds() -> None:
    assert duration_in_words(timedelta(seconds=0.5)) == "0.5s"
    assert duration_in_words(timedelta(0)) == "0s"
